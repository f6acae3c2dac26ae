"""The errors that views raise as responses, and those that daf_views itself raises.

An :class:`APIError` is a deliberate answer: its ``detail`` and members reach the client as an RFC 9457 problem. The
text of any other exception never does outside DEBUG. The names carry ``Error`` so that none is taken for Django's
``PermissionDenied``, ``BadRequest`` or ``ValidationError``, or for daf_orm's ``TooManyRequests``.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from django.core.exceptions import NON_FIELD_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from django.core.exceptions import ValidationError


class ServiceError(Exception):
    """A service of a view could not be made, or not be ended. The error is its ``__cause__``."""


class ThrottleBackendError(Exception):
    """The backend of a throttle cannot count at present, although it responds."""


class MessageTooLargeError(ValueError):
    """A message has more bytes than the backend of broadcasts carries."""


class SlowSubscriberError(Exception):
    """A subscription of a channel has ended, because its reader fell further behind than its ``capacity``."""


class TaskTimeoutError(TimeoutError):
    """An attempt at a task took longer than its ``timeout``."""


class WorkerLostError(Exception):
    """A task failed because one worker after the other was lost while it ran."""


class TaskCancelledError(Exception):
    """A task was cancelled before it had ended."""


class TaskQueueFullError(Exception):
    """More tasks than the limit are waiting in the memory of the process."""


class NoEventLoopError(RuntimeError):
    """There is no event loop to run work on: the caller is synchronous code that no event loop has called."""


class ShuttingDownError(RuntimeError):
    """The server stops, and new work would be cut off."""


class StrayCancellationError(Exception):
    """Something that a view awaited had been cancelled, though the request had not: a bug, not a client that left."""


class APIError(Exception):
    """An error that a view answers with: ``raise ConflictError("Sold out.", code="sold_out", book=7)``.

    ``detail`` is for the client to read, ``code`` for its program, ``members`` are further members of the problem
    (RFC 9457 §3.2), ``headers`` go into the response. ``type`` is a URI that identifies the kind of problem. The names
    of these parameters cannot be members. Raises ValueError if ``status`` is not one of an error.
    """

    default_status: ClassVar[int] = HTTPStatus.INTERNAL_SERVER_ERROR
    default_title: ClassVar[str | None] = None
    default_code: ClassVar[str] = "error"
    default_detail: ClassVar[str | None] = None

    def __init__(  # noqa: PLR0913 - the members of RFC 9457
        self,
        detail: str | None = None,
        *,
        status: int | None = None,
        title: str | None = None,
        type: str = "about:blank",  # noqa: A002 - the name is RFC 9457's
        code: str | None = None,
        instance: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        self.status = int(status or self.default_status)
        if not 400 <= self.status <= 599:  # noqa: PLR2004 - client and server errors, RFC 9110 §15
            raise ValueError(f"{self.__class__.__name__} got status {status}: an error has one from 400 to 599.")
        self.title = title or self._title()
        self.type = type
        self.code = code or self.default_code
        self.detail = detail if detail is not None else self.default_detail
        self.instance = instance
        self.headers = dict(headers or {})
        self.members = members
        super().__init__(self.detail or self.title)

    def _title(self) -> str:
        if self.status == self.default_status and self.default_title is not None:
            return self.default_title
        try:
            return HTTPStatus(self.status).phrase
        except ValueError:  # a status that no RFC knows
            return "Error"

    def as_problem(self) -> dict[str, Any]:
        """Return the members of the problem, standard ones first. Those that are None are left out."""
        standard = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": self.instance,
            "code": self.code,
        }
        present = {name: value for name, value in standard.items() if value is not None}
        return present | {name: value for name, value in self.members.items() if name not in standard}


class BadRequestError(APIError):
    """400: the request cannot be understood."""

    default_status = HTTPStatus.BAD_REQUEST
    default_title = "Bad Request"
    default_code = "bad_request"


class ParseError(BadRequestError):
    """400: the body is not valid for its media type."""

    default_code = "malformed_body"


class NotAuthenticatedError(APIError):
    """401: the request is unauthenticated. ``challenge`` is sent in ``WWW-Authenticate`` (RFC 9110 §11.6.1)."""

    default_status = HTTPStatus.UNAUTHORIZED
    default_title = "Unauthorized"
    default_code = "not_authenticated"

    def __init__(self, detail: str | None = None, *, challenge: str = "Bearer", **kwargs: Any) -> None:
        super().__init__(detail, **_with_headers(kwargs, {"WWW-Authenticate": challenge}))


class ForbiddenError(APIError):
    """403: the user or client lacks permission."""

    default_status = HTTPStatus.FORBIDDEN
    default_title = "Forbidden"
    default_code = "forbidden"


class CSRFError(ForbiddenError):
    """403: another site may have caused the request. Logged to ``django.security.csrf``, as Django's refusals are."""

    default_code = "csrf_failed"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"CSRF check failed: {reason}")


class NotFoundError(APIError):
    """404: the resource does not exist, or must not be shown."""

    default_status = HTTPStatus.NOT_FOUND
    default_title = "Not Found"
    default_code = "not_found"


class MethodNotAllowedError(APIError):
    """405: the resource does not answer this method; ``Allow`` says which it does (RFC 9110 §15.5.6)."""

    default_status = HTTPStatus.METHOD_NOT_ALLOWED
    default_title = "Method Not Allowed"
    default_code = "method_not_allowed"

    def __init__(self, detail: str | None = None, *, allowed: Iterable[str], **kwargs: Any) -> None:
        super().__init__(detail, **_with_headers(kwargs, {"Allow": ", ".join(allowed)}))


class NotAcceptableError(APIError):
    """406: there is no representation that the client accepts."""

    default_status = HTTPStatus.NOT_ACCEPTABLE
    default_title = "Not Acceptable"
    default_code = "not_acceptable"


class ConflictError(APIError):
    """409: the request conflicts with the current state of the resource."""

    default_status = HTTPStatus.CONFLICT
    default_title = "Conflict"
    default_code = "conflict"


class PreconditionFailedError(APIError):
    """412: the resource does not meet the conditions of the request (RFC 9110 §15.5.13)."""

    default_status = HTTPStatus.PRECONDITION_FAILED
    default_title = "Precondition Failed"
    default_code = "precondition_failed"
    default_detail = "The resource has changed since you fetched it. Fetch it again and retry with its current ETag."


class ContentTooLargeError(APIError):
    """413: the body is larger than the limit."""

    default_status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_title = "Content Too Large"  # RFC 9110's name; Python's has it from 3.13 on
    default_code = "content_too_large"


class UnsupportedMediaTypeError(APIError):
    """415: no parser reads that media type; ``Accept`` names those that are read (RFC 9110 §15.5.16)."""

    default_status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    default_title = "Unsupported Media Type"
    default_code = "unsupported_media_type"

    def __init__(self, detail: str | None = None, *, accepted: Iterable[str] = (), **kwargs: Any) -> None:
        media_types = ", ".join(accepted)
        super().__init__(detail, **_with_headers(kwargs, {"Accept": media_types} if media_types else {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One mistake in the content of a body, and its place."""

    pointer: str
    """JSON Pointer as a URI fragment (RFC 6901 §6): ``#/lines/0/quantity``; ``#`` is the whole body."""
    detail: str
    code: str = "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterError:
    """One mistake in a parameter."""

    parameter: str
    location: str
    """``query`` or ``header``."""
    detail: str
    code: str = "invalid"


class InvalidDataError(APIError):
    """422: the request is well formed, its content is not. ``errors`` lists the mistakes, as in RFC 9457 §3."""

    default_status = HTTPStatus.UNPROCESSABLE_ENTITY
    default_title = "Unprocessable Content"  # RFC 9110's name; Python's has it from 3.13 on
    default_code = "invalid_data"

    def __init__(
        self, detail: str | None = None, *, errors: Iterable[FieldError | ParameterError] = (), **kwargs: Any
    ) -> None:
        self.errors = tuple(errors)
        super().__init__(detail, errors=[asdict(error) for error in self.errors], **kwargs)

    @classmethod
    def from_django(cls, error: ValidationError) -> InvalidDataError:
        """Translate Django's ValidationError. Its messages are written for users, so they are shown."""
        by_field = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
        return cls(
            errors=[
                FieldError(pointer=_pointer(field), detail=" ".join(each.messages), code=each.code or "invalid")
                for field, errors in by_field.items()
                for each in errors
            ]
        )


class PreconditionRequiredError(APIError):
    """428: an update must name the version that the client has seen (RFC 6585 §3)."""

    default_status = HTTPStatus.PRECONDITION_REQUIRED
    default_title = "Precondition Required"
    default_code = "precondition_required"
    default_detail = "This request requires If-Match. Send the ETag of the version you are updating."


class _RetryLaterError(APIError):
    """An error after which the client may retry, at the time in ``Retry-After``."""

    def __init__(self, detail: str | None = None, *, retry_after: float | None = None, **kwargs: Any) -> None:
        self.retry_after = retry_after
        super().__init__(detail, **_with_headers(kwargs, _retry_after(retry_after)))


class ThrottledError(_RetryLaterError):
    """429: too many requests. ``retry_after`` is the number of seconds to wait (RFC 6585 §4)."""

    default_status = HTTPStatus.TOO_MANY_REQUESTS
    default_title = "Too Many Requests"
    default_code = "throttled"


class ServiceUnavailableError(_RetryLaterError):
    """503: unavailable at present. ``retry_after`` is the number of seconds to wait (RFC 9110 §15.6.4)."""

    default_status = HTTPStatus.SERVICE_UNAVAILABLE
    default_title = "Service Unavailable"
    default_code = "unavailable"


class BroadcastUnavailableError(ServiceUnavailableError):
    """503: the backend of broadcasts cannot be reached at present."""

    default_code = "broadcast_unavailable"


class DeadlineExceededError(APIError):
    """504: the view's ``deadline`` passed before it had an answer."""

    default_status = HTTPStatus.GATEWAY_TIMEOUT
    default_title = "Gateway Timeout"
    default_code = "deadline_exceeded"


def _with_headers(kwargs: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """Add the headers of an error to those that its caller gave, which win."""
    return kwargs | {"headers": headers | dict(kwargs.get("headers") or {})}


def _retry_after(seconds: float | None) -> dict[str, str]:
    # Rounded up: a client that comes back early is turned away again.
    return {} if seconds is None else {"Retry-After": str(max(0, math.ceil(seconds)))}


def pointer_to(*place: str | int) -> str:
    """Return the JSON Pointer to a place in a body, as a URI fragment (RFC 6901 §6)."""
    return "#" + "".join("/" + quote(str(step).replace("~", "~0").replace("/", "~1"), safe="") for step in place)


def _pointer(field: str) -> str:
    return pointer_to() if field == NON_FIELD_ERRORS else pointer_to(field)
