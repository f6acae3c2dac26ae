"""Exceptions as responses: RFC 9457 problems, or HTML where a browser asks for it.

A known exception becomes the error it means (:func:`translate`). Any other is a bug: it is logged with an error id,
``got_request_exception`` is sent, and the client is told the id and nothing else, except with DEBUG.

:func:`response_for` is for the event loop, :func:`respond` for synchronous code. Code that may block (signal receivers,
log handlers that send mail, templates) is run by the former on a worker thread.
"""

from __future__ import annotations

import logging
import traceback
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import signals
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestAborted,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.utils.cache import patch_vary_headers

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests, database_sync_to_async
from daf_views._django.responses import mark_logged
from daf_views.errors import html
from daf_views.exceptions import (
    APIError,
    BadRequestError,
    ContentTooLargeError,
    CSRFError,
    ForbiddenError,
    InvalidDataError,
    NotFoundError,
    ServiceUnavailableError,
)
from daf_views.http.json import encode
from daf_views.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("daf_views")

CONTENT_TYPE = "application/problem+json"

# The first row that fits is the answer, so subclasses come before their parents.
_MEANINGS: tuple[tuple[type[Exception], type[APIError]], ...] = (
    (Http404, NotFoundError),
    (PermissionDenied, ForbiddenError),
    (RequestDataTooBig, ContentTooLargeError),
    (SuspiciousOperation, BadRequestError),
    (BadRequest, BadRequestError),
    (MultiPartParserError, BadRequestError),
    (UnreadablePostError, BadRequestError),
    (RequestAborted, BadRequestError),  # the client hung up, and reads nothing of it; it is no bug
)


def problem_response(  # noqa: PLR0913 - the members of RFC 9457
    status: int,
    *,
    title: str | None = None,
    detail: str | None = None,
    type: str = "about:blank",  # noqa: A002 - the name is RFC 9457's
    instance: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> HttpResponse:
    """Return an ``application/problem+json`` response (RFC 9457 §3); ``members`` are its extension members."""
    error = APIError(
        detail,
        status=status,
        title=title,
        type=type,
        instance=instance,
        headers=headers,
        **{"code": "error", **members},
    )
    problem = error.as_problem()
    if "code" not in members:
        del problem["code"]
    return _as_json(error, problem)


def translate(exc: BaseException) -> APIError | None:
    """Return the error that an exception means, or None if it means a bug.

    An exception group means the gravest of its exceptions, if each of them means an error.
    """
    if isinstance(exc, APIError):
        return exc
    if isinstance(exc, ValidationError):
        return InvalidDataError.from_django(exc)
    if isinstance(exc, PoolTimeout | TooManyRequests | PoolClosed):
        return ServiceUnavailableError(_debug_text(exc), retry_after=get_settings().RETRY_AFTER, code="overloaded")
    if isinstance(exc, ExceptionGroup):
        errors = [translate(each) for each in exc.exceptions]
        known = [error for error in errors if error is not None]
        return max(known, key=lambda error: error.status) if len(known) == len(errors) else None
    for kind, meaning in _MEANINGS:
        if isinstance(exc, kind):
            return meaning(_debug_text(exc))
    return None


async def response_for(request: HttpRequest, exc: Exception) -> HttpResponse:
    """Answer a request with the error that ``exc`` means, on the event loop. An error that cannot be rendered is a bug.

    With DEBUG_PROPAGATE_EXCEPTIONS an exception that means a bug is raised again.
    """
    failure = Failure.of(exc)
    await _report_off_the_loop(request, failure)
    response = await _page_off_the_loop(request, failure) if html.prefers_html(request) else failure.problem
    return _finish(response, failure)


def respond(request: HttpRequest, exc: Exception, *, is_signalled: bool = False) -> HttpResponse:
    """Do the same in synchronous code: a worker thread under the Django handler, or WSGI.

    ``is_signalled`` says that ``got_request_exception`` has been sent already.
    """
    failure = Failure.of(exc)
    _report(request, failure, is_signalled=is_signalled)
    response = _page(request, failure) if html.prefers_html(request) else failure.problem
    return _finish(response, failure)


async def report(request: HttpRequest, exc: Exception) -> None:
    """Log an exception as :func:`response_for` does, if the response is made elsewhere."""
    await _report_off_the_loop(request, Failure.of(exc))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An exception, and the error that the client is told."""

    exc: Exception
    error: APIError
    error_id: str | None
    """Names a bug in the log and to the client: 32 hexadecimal digits. None if it is no bug."""
    problem: HttpResponse

    @classmethod
    def of(cls, exc: Exception) -> Failure:
        """Translate ``exc``. With DEBUG_PROPAGATE_EXCEPTIONS, raise it if it means a bug."""
        try:
            if (error := translate(exc)) is not None:
                return cls(exc=exc, error=error, error_id=None, problem=_as_json(error, error.as_problem()))
        except Exception as broken:  # noqa: BLE001 - a member that is no JSON, a header with a line break
            broken.__context__ = broken.__context__ or exc
            exc = broken
        if settings.DEBUG_PROPAGATE_EXCEPTIONS:
            raise exc
        error_id = uuid.uuid4().hex
        members = _debug_members(exc) if settings.DEBUG else {}
        error = APIError(_debug_text(exc), code="internal_error", error_id=error_id, **members)
        return cls(exc=exc, error=error, error_id=error_id, problem=_as_json(error, error.as_problem()))

    @property
    def is_worth_a_report(self) -> bool:
        """Return True if the line that Django's handler logs for each error response would say too little."""
        told = isinstance(self.exc, SuspiciousOperation | CSRFError)
        return self.error_id is not None or told or self.is_overload

    @property
    def is_overload(self) -> bool:
        """Return True if the pool had no connection."""
        return self.error.status == 503 and self.exc is not self.error  # noqa: PLR2004 - Service Unavailable

    def log(self, request: HttpRequest) -> None:
        """Log it, once: as Django would, where Django logs it; a bug with its traceback and error id."""
        extra = {"status_code": self.error.status, "request": request, "error_id": self.error_id}
        path = _one_line(request.path)
        if self.error_id is not None:
            message = "Internal Server Error: %s (error id %s)"
            logging.getLogger("django.request").error(message, path, self.error_id, exc_info=self.exc, extra=extra)
        elif isinstance(self.exc, CSRFError):
            reason = _one_line(self.exc.reason)
            logging.getLogger("django.security.csrf").warning("Forbidden (%s): %s", reason, path, extra=extra)
        elif self.is_overload:
            logger.warning("Service Unavailable: %s: %s", path, self.exc, extra=extra)
        else:
            security = logging.getLogger(f"django.security.{type(self.exc).__name__}")
            security.error("%s", self.exc, exc_info=self.exc, extra=extra)


def _one_line(text: str) -> str:
    """Escape line breaks, which a client may send, so that it cannot forge a line of the log."""
    return text.encode("unicode_escape").decode("ascii")


def _as_json(error: APIError, problem: dict[str, Any]) -> HttpResponse:
    return HttpResponse(encode(problem), status=error.status, content_type=CONTENT_TYPE, headers=error.headers)


def _finish(response: HttpResponse, failure: Failure) -> HttpResponse:
    patch_vary_headers(response, ["Accept"])
    if failure.is_worth_a_report:
        mark_logged(response)
    return response


async def _page_off_the_loop(request: HttpRequest, failure: Failure) -> HttpResponse:
    if not html.may_query(failure.error):  # an overloaded pool must not be asked for one more lease
        return html.plain(failure.error)
    try:
        return await database_sync_to_async(_page)(request, failure)
    except (PoolTimeout, TooManyRequests, PoolClosed):
        return html.plain(failure.error)


def _page(request: HttpRequest, failure: Failure) -> HttpResponse:
    try:
        response = html.render(request, failure.exc, failure.error)
    except Exception:
        logger.exception("The error page for status %s could not be rendered.", failure.error.status)
        response = html.plain(failure.error)
    for name, value in failure.error.headers.items():
        response.headers[name] = value
    return response


async def _report_off_the_loop(request: HttpRequest, failure: Failure) -> None:
    if failure.is_worth_a_report:
        # Not thread-sensitive, as in Django's own handler: it must not wait for what the request has left undone.
        await sync_to_async(_report, thread_sensitive=False)(request, failure)


def _report(request: HttpRequest, failure: Failure, *, is_signalled: bool = False) -> None:
    """Log a failure; a bug is also sent to the receivers of the signal. Both may block, neither may fail the answer."""
    if not failure.is_worth_a_report:
        return
    try:
        if failure.error_id is not None and not is_signalled:
            _send_signal(request, failure.exc)
        failure.log(request)
    except Exception:  # noqa: BLE001 - a log handler's, and where it is broken, what logging does itself
        traceback.print_exc()


def _send_signal(request: HttpRequest, exc: Exception) -> None:
    """Send it while the exception is being handled: receivers ask ``sys.exc_info()`` what happened."""
    past = exc.__traceback__
    try:
        raise exc
    except Exception:  # noqa: BLE001 - the one just raised
        signals.got_request_exception.send_robust(sender=None, request=request)
    finally:
        exc.__traceback__ = past  # as long as it was before


def _debug_text(exc: BaseException) -> str | None:
    if not settings.DEBUG:
        return None
    try:
        return str(exc) or None
    except Exception:  # noqa: BLE001 - an exception whose text cannot be made
        return f"<{type(exc).__name__}>"


def _debug_members(exc: Exception) -> dict[str, Any]:
    lines = "".join(traceback.format_exception(exc)).splitlines()
    return {"exception": f"{type(exc).__module__}.{type(exc).__qualname__}", "traceback": lines}
