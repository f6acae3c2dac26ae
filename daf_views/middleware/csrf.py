"""Protection against cross-site request forgery, without a thread for requests that are let through."""

from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, UnreadablePostError
from django.http.response import HttpResponseBase
from django.middleware.csrf import InvalidTokenFormat

from daf_orm import database_sync_to_async
from daf_views._django.csrf import CsrfSteps
from daf_views._django.requests import has_parsed_form, mark_form_unreadable
from daf_views.http.request import load_body
from daf_views.http.session import load_session
from daf_views.middleware.base import InlineMixin

MAX_INLINE_FORM = 64 * 1024
"""Bytes of a URL-encoded form that are parsed on the event loop: about a millisecond's work."""

_URLENCODED, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


class _FormNeeded(Exception):  # noqa: N818 - a signal, not an error
    """The token is in a form that has not been parsed."""


class _Rejected(Exception):  # noqa: N818 - a signal, not an error
    """The request is to be answered by ``CSRF_FAILURE_VIEW``."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class CsrfViewMiddleware(InlineMixin, CsrfSteps):
    """Every decision is Django's own code; it is interrupted where it would block.

    It would block on the form, which is then received and parsed first. It would also block on ``CSRF_FAILURE_VIEW``,
    which may query: rejected requests cost one hop. A body is not received for a request that is rejected without it.
    With ``CSRF_USE_SESSIONS`` the session is loaded through its async methods.
    """

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.CSRF_USE_SESSIONS:
            await _load_session_of(request)
        self.process_request(request)
        response = await self.get_response(request)
        if settings.CSRF_USE_SESSIONS and request.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
            await _load_session_of(request)  # the view may have put another one in its place
        return self.process_response(request, response)

    async def aprocess_view(self, request: HttpRequest, callback: Any, callback_args: Any, callback_kwargs: Any) -> Any:
        """Answer a request whose token is missing or wrong."""
        decide: Any = partial(super().process_view, request, callback, callback_args, callback_kwargs)
        reject = super().reject
        try:
            try:
                return decide()
            except _FormNeeded:
                await load_form(request)
                return decide()
        except _Rejected as rejected:
            return await database_sync_to_async(reject)(request, rejected.reason)

    # The two places where Django's process_view() may block.

    def check_token(self, request: HttpRequest) -> None:
        """Ask for the form first, if the token may be in it."""
        if self.async_mode and not _form_is_parsed(request) and self._has_secret(request):
            raise _FormNeeded
        super().check_token(request)

    def _has_secret(self, request: HttpRequest) -> bool:
        """Return True if there is a secret to compare a token with; otherwise the form does not matter."""
        try:
            return self.secret_of(request) is not None
        except InvalidTokenFormat:
            return False

    def reject(self, request: HttpRequest, reason: str) -> Any:
        """Leave the failure view to a worker thread."""
        if self.async_mode:
            raise _Rejected(reason)
        return super().reject(request, reason)


async def _load_session_of(request: HttpRequest) -> None:
    if (session := getattr(request, "session", None)) is not None:  # Django reports the mistake
        await load_session(session)


def _form_is_parsed(request: HttpRequest) -> bool:
    """Return True if ``request.POST`` can be had without reading the body: it has been parsed, or it is no form."""
    if request.method != "POST" or request.content_type not in (_URLENCODED, _MULTIPART):
        return True
    return has_parsed_form(request)


async def load_form(request: HttpRequest) -> None:
    """Receive and parse the form into ``request.POST`` and ``request.FILES``.

    Raises what ``request.POST`` raises, except UnreadablePostError, which makes it empty, as it does in Django.
    """
    await load_body(request)
    try:
        if request.content_type == _MULTIPART:  # files; upload handlers of the project, which may query
            await database_sync_to_async(_parse)(request)
        elif _is_small(request):
            _parse(request)
        else:
            await sync_to_async(_parse, thread_sensitive=False)(request)
    except UnreadablePostError:
        mark_form_unreadable(request)


def _parse(request: HttpRequest) -> None:
    request.POST  # noqa: B018 - parses


def _is_small(request: HttpRequest) -> bool:
    length = request.META.get("CONTENT_LENGTH") or ""  # none: it was sent in chunks
    return length.isdecimal() and int(length) <= MAX_INLINE_FORM
