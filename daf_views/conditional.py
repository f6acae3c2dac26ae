"""Conditional requests (RFC 9110 §13): answer 304 if the client is up to date, and update only the version it has seen.

A view returns the version of an instance. Its entity tag is made of that, not of the bytes of a response, so it is
known before anything is written. A condition alone is no lock: another write may come between the check and the write.
:func:`compare_and_set` makes the check part of the statement; ``select_for_update()`` in an ``atomic`` view makes them
wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Model
from django.http import HttpResponseNotModified

from daf_views.exceptions import PreconditionFailedError
from daf_views.http.conditions import (
    EntityTag,
    NotModified,
    Version,
    check_preconditions,
    parse_tags,
    tag_response,
)
from daf_views.http.methods import OVERWRITING, READING
from daf_views.views.base import AsyncView
from daf_views.views.pipeline import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from daf_views._core.description import Description
    from daf_views.views.pipeline import Proceed

__all__ = [
    "ConditionalView",
    "EntityTag",
    "Version",
    "check_preconditions",
    "compare_and_set",
    "parse_tags",
    "tag_response",
]

_SUCCESS, _REDIRECTION = 200, 300
_TAG = r'(W/)?"[!#-~\x80-\xff]*"'
# The grammar of parse_tags(): * or a list, in which elements may be empty.
_TAGS = {
    "type": "string",
    "pattern": rf"^[ \t]*(\*|[ \t,]*{_TAG}([ \t]*,[ \t,]*{_TAG})*[ \t,]*)[ \t]*$",
    "examples": ['"7"'],
}


async def compare_and_set(queryset: QuerySet[Any], **changes: Any) -> None:
    """Update the row that has still the version that was checked, in one statement.

    ``await compare_and_set(Book.objects.filter(pk=pk, version=book.version), version=F("version") + 1, title=title)``.
    Raises PreconditionFailedError if there is no such row: another update was faster.
    """
    if not await queryset.aupdate(**changes):
        raise PreconditionFailedError


class ConditionalView(AsyncView):
    """A base, beside AsyncAPIView, of views that call :meth:`check_preconditions` in their handlers."""

    requires_if_match: bool = False
    """True if PUT, PATCH and DELETE must send ``If-Match`` with the version that they are to replace."""
    _seen: Version | None = None
    _has_checked: bool = False

    def etag_of(self, instance: Any, /) -> Version:
        """Return the version of an instance. Override it, or give ``check_preconditions`` versions."""
        raise TypeError(
            f"{type(self).__qualname__} does not define the version of a {type(instance).__name__}: write "
            "`def etag_of(self, instance): return instance.version`."
        )

    def check_preconditions(self, request: HttpRequest, instance: Any) -> None:
        """Evaluate the request's conditions against an instance, its version, or None where there is none yet.

        Call it before anything is written. GET and HEAD may end there, with a 304; otherwise their response gets the
        ETag. Raises what :func:`check_preconditions` does.
        """
        version = self.etag_of(instance) if isinstance(instance, Model) else instance
        check_preconditions(request, version, requires_if_match=self.requires_if_match)
        self._has_checked, self._seen = True, version

    async def _answer_conditions(self, request: HttpRequest, proceed: Proceed) -> HttpResponseBase:
        # Here, and not where errors are answered: a 304 rolls nothing back, and is no failure to services.
        try:
            response: HttpResponseBase = await proceed()
        except NotModified as answer:
            return tag_response(HttpResponseNotModified(), answer.version)
        if not _SUCCESS <= response.status_code < _REDIRECTION:
            return response
        self._refuse_unchecked(request)
        if request.method in READING and self._seen is not None and not response.has_header("ETag"):
            return tag_response(response, self._seen)
        return response

    def _refuse_unchecked(self, request: HttpRequest) -> None:
        """Raise TypeError for a handler that has overlooked what the view requires; an atomic view is rolled back."""
        if self.requires_if_match and request.method in OVERWRITING and not self._has_checked:
            raise TypeError(
                f"{type(self).__qualname__} requires If-Match, but its {request.method} handler did not call "
                "self.check_preconditions(request, instance)."
            )

    def _describe_conditions(self, operation: Description) -> None:
        if operation.method in READING:
            # Any value is accepted: a malformed tag is ignored, and the representation is sent.
            anything = {"type": "string", "examples": _TAGS["examples"]}
            operation.add_parameter(_header("If-None-Match", "Answer 304 if the version still matches.", anything))
            operation.add_response_header("ETag", "The version (RFC 9110 §8.8.3).")
            operation.add_status(304)
            return
        operation.add_status(400, 412)
        if self.requires_if_match:
            operation.add_status(428)
        if operation.method in OVERWRITING:
            parameter = _header("If-Match", "Update this version only; answer 412 if there is a newer one.", _TAGS)
            operation.add_parameter({**parameter, "required": bool(self.requires_if_match)})

    stages: ClassVar[Sequence[Stage]] = (
        Stage(name="condition", around=_answer_conditions, describe=_describe_conditions),
    )


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}
