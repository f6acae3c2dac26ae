"""Private names of requests: the body, the form, the user, the messages."""

from __future__ import annotations

import asyncio
from typing import IO, TYPE_CHECKING, Any

from django.core.exceptions import BadRequest
from django.core.handlers.asgi import ASGIRequest
from django.utils.functional import SimpleLazyObject, empty

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from django.http import HttpRequest

_AUTH_MIDDLEWARE = frozenset({"django.contrib.auth.middleware", "daf_views.middleware.auth"})

LONGEST_LENGTH = 20
"""Digits of a Content-Length: no file has more bytes."""


class AsyncRequest(ASGIRequest):
    """An ASGI request that is made before its body has been received: ``daf_views.http.load_body`` does that."""

    receive_body: Callable[[int | None], Awaitable[IO[bytes]]] | None = None
    """Receives the body, as far as the given number of bytes, into a file. None once that has been done."""

    _stands_in_for_form = False

    def _set_content_type_params(self, meta: Any) -> None:
        """Read the media type. A malformed one, or an unknown charset, counts as one that no parser reads."""
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc] # the stubs lack it
        except (ValueError, LookupError, BadRequest):  # a null character, an unknown charset of a parameter (RFC 2231)
            self.content_type, self.content_params = meta.get("CONTENT_TYPE", ""), {}
        if (encoding := vars(self).get("_encoding")) is not None and not _is_text_encoding(encoding):
            self._encoding = None

    def _load_post_and_files(self) -> None:
        if self.receive_body is None or asyncio._get_running_loop() is not None:  # the cheap way to ask
            super()._load_post_and_files()
            return
        # On a worker thread only error reports ask: log handlers, error pages. They get an empty form.
        mark_form_unreadable(self)
        self._stands_in_for_form = True

    @property
    def body(self) -> bytes:
        """The body. Raises BadRequest for a Content-Length that is no number: older versions of Django, ValueError."""
        length = self.META.get("CONTENT_LENGTH") or "0"
        if not (length.isascii() and length.isdecimal() and len(length) <= LONGEST_LENGTH):
            raise BadRequest("Content-Length must be a number.")
        return super().body

    def body_has_come(self, stream: Any) -> None:
        """Take the body; forget what stood in for it."""
        self._stream = stream
        self.receive_body = None
        if self._stands_in_for_form:
            del self._post, self._files  # type: ignore[attr-defined]
            self._stands_in_for_form = False


def _is_text_encoding(name: str) -> bool:
    """Return True if bytes, whatever they are, can be decoded by this codec: not base64, nor punycode."""
    try:
        b"a\xff".decode(name, "replace")
    except (LookupError, ValueError):
        return False
    return True


def stream_of(request: HttpRequest) -> Any:
    """Return the file that the body is read from, once; None if the request has none."""
    return getattr(request, "_stream", None)


def replace_body(request: HttpRequest, stream: IO[bytes], length: int) -> None:
    """Let a file be the body of a request, from which it has not been read yet."""
    request._stream = stream  # type: ignore[assignment] # a file like any other
    request._read_started = False  # type: ignore[attr-defined]
    vars(request).pop("_body", None)
    request.META["CONTENT_LENGTH"] = str(length)


def has_read_body(request: HttpRequest) -> bool:
    """Return True if the body has been read into memory."""
    return hasattr(request, "_body")


def has_parsed_form(request: HttpRequest) -> bool:
    """Return True if ``request.POST`` is there without reading the body."""
    return hasattr(request, "_post")


def mark_form_unreadable(request: HttpRequest) -> None:
    """Make the form empty, as Django does with one that it cannot read: otherwise it would be read again."""
    request._mark_post_parse_error()  # type: ignore[attr-defined]


def files_of(request: HttpRequest | None) -> Any:
    """Return the uploaded files if a form has been parsed, else None."""
    return getattr(request, "_files", None)


def set_files(request: HttpRequest, files: Any) -> None:
    """Let the request close these files in the end."""
    request._files = files  # type: ignore[attr-defined]


def is_exempt_from_csrf(request: HttpRequest) -> bool:
    """Return True for a request of a Django test client that enforces no CSRF checks."""
    return bool(getattr(request, "_dont_enforce_csrf_checks", False))


def message_storage_of(request: HttpRequest) -> Any:
    """Return the storage of ``django.contrib.messages``, None without its middleware."""
    return getattr(request, "_messages", None)


def has_loaded_user(request: HttpRequest) -> bool:
    """Return True if ``request.user`` costs no query."""
    return hasattr(request, "_cached_user")


def set_loaded_user(request: HttpRequest, user: Any) -> None:
    """Set the user that ``request.user`` returns from now on."""
    request._cached_user = user  # type: ignore[attr-defined]


def is_of_auth_middleware(user: Any) -> bool:
    """Return True if ``user`` is the lazy one that ``AuthenticationMiddleware``, Django's or ours, sets."""
    if not issubclass(type(user), SimpleLazyObject):
        return False
    return getattr(vars(user)["_setupfunc"], "__module__", None) in _AUTH_MIDDLEWARE


def is_unevaluated(lazy: Any, kind: type[Any]) -> bool:
    """Return True if ``lazy`` is a lazy object of this kind that has not been evaluated."""
    # type(), because isinstance() would evaluate it.
    return issubclass(type(lazy), kind) and vars(lazy)["_wrapped"] is empty
