"""The body of a request, parsed: strict JSON, forms and uploads.

A view names the parsers it takes, classes or instances: ``parsers = [JSONParser, MultiPartParser(limit=10_000_000)]``.
An invalid body raises an :class:`~daf_views.exceptions.APIError` that says where it is wrong: 400, 413 or 415.
"""

from __future__ import annotations

import json
from io import SEEK_END
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import QueryDict

from daf_views._django.requests import LONGEST_LENGTH, has_read_body, set_files, stream_of
from daf_views.exceptions import APIError, BadRequestError, ContentTooLargeError, ParseError, UnsupportedMediaTypeError
from daf_views.http.content_coding import coding_of, decode_body
from daf_views.http.request import load_body

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.http import HttpRequest

    from daf_views._core.description import Description


_MAX_INLINE = 64 * 2**10
"""Bytes of JSON, or of a form, that are parsed on the event loop: some 20 ms of it at most. Others are on a thread."""


class Parser:
    """Turns bodies of some media types into ``request.data``. ``limit`` is the most bytes a body may have.

    Derive from it: name the ``media_types`` (``application/*+json`` stands for every subtype with that suffix), and
    write ``async def parse(self, request)``, which is called once the body is there.
    """

    media_types: ClassVar[Sequence[str]] = ()
    default_limit: ClassVar[int | None] = None

    def __init__(self, *, limit: int | None = None) -> None:
        self._limit = limit

    @property
    def limit(self) -> int | None:
        """Bytes a body may have; None is no limit."""
        return self._limit if self._limit is not None else self.default_limit

    def reads(self, media_type: str) -> bool:
        """Return True if it parses bodies of this media type."""
        return any(_matches(pattern, media_type) for pattern in self.media_types)

    async def parse(self, request: HttpRequest) -> Any:
        """Return the data. The body has been received, and is no longer than the limit."""
        raise NotImplementedError

    def describe(self, operation: Description) -> None:
        """Add the media types; a pattern is none."""
        operation.add_media_types(*(media_type for media_type in self.media_types if "*" not in media_type))


class _InMemoryParser(Parser):
    """For bodies that are held in memory, so never longer than Django allows for those."""

    @property
    def limit(self) -> int | None:
        """Bytes a body may have: ``DATA_UPLOAD_MAX_MEMORY_SIZE``, or less."""
        own, of_django = self._limit, cast("int | None", settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        if own is None or of_django is None:
            return of_django if own is None else own
        return min(own, of_django)

    async def read(self, request: HttpRequest) -> bytes:
        """Return the body. Raise ContentTooLargeError if it is longer than the limit, whatever Content-Length said."""
        try:
            body = await _read(request)
        except RequestDataTooBig:
            raise _too_large(self.limit) from None
        limit = self.limit
        if limit is not None and len(body) > limit:
            raise _too_large(limit)
        return body


class JSONParser(_InMemoryParser):
    """JSON as RFC 8259 has it, in UTF-8: no NaN or infinity, no name twice in one object, no lone surrogates, no NUL.

    Text columns cannot hold the last two, for example in PostgreSQL.
    """

    media_types = ("application/json", "application/*+json")

    async def parse(self, request: HttpRequest) -> Any:
        """Return the value. Raise ParseError with ``line``, ``column`` and ``position`` where it is malformed."""
        _refuse_charset(request, self, "JSON must be UTF-8.")
        body = await self.read(request)
        if len(body) <= _MAX_INLINE:
            return load_json(body)
        return await sync_to_async(load_json, thread_sensitive=False)(body)


class FormParser(_InMemoryParser):
    """``application/x-www-form-urlencoded``, for every method: a QueryDict."""

    media_types = ("application/x-www-form-urlencoded",)

    async def parse(self, request: HttpRequest) -> Any:
        """Return the fields. Raises TooManyFieldsSent beyond ``DATA_UPLOAD_MAX_NUMBER_FIELDS``.

        UnsupportedMediaTypeError for a charset except UTF-8: the media type has none (RFC 1866), and Django refuses it.
        """
        _refuse_charset(request, self, "A form must be UTF-8.")
        body = await self.read(request)
        if len(body) <= _MAX_INLINE:
            return _form_of(request, body)
        return await sync_to_async(_form_of, thread_sensitive=False)(request, body)


def _form_of(request: HttpRequest, body: bytes) -> QueryDict:
    return request.POST if request.method == "POST" else QueryDict(body, encoding="utf-8")


class MultiPartParser(Parser):
    """``multipart/form-data``, for every method: the fields as a QueryDict, the files in ``request.FILES``.

    Files may be larger than the memory limit: upload handlers decide where they go, on a worker thread.
    """

    media_types = ("multipart/form-data",)
    default_limit = 32 * 2**20

    async def parse(self, request: HttpRequest) -> Any:
        """Return the fields. Raises UnsupportedMediaTypeError for a charset except UTF-8."""
        _refuse_charset(request, self, "A form must be UTF-8.")
        return await sync_to_async(_parse_multipart, thread_sensitive=False)(request, self.limit)

    def describe(self, operation: Description) -> None:
        """Add the media type, and the answer to a body of unknown length, where a server does not tell it."""
        super().describe(operation)
        operation.add_status(411)


def load_json(body: bytes) -> Any:
    """Return the value of the JSON text ``body``. Raise ParseError, with the place, for invalid JSON."""
    try:
        text = body.decode("utf-8")
        if text.startswith("\ufeff"):
            raise json.JSONDecodeError("Unexpected UTF-8 BOM", text, 0)
        value = _decode(text)
        if "\\ud" in text or "\\uD" in text:  # a lone surrogate is written so; a pair has become one character
            json.dumps(value, ensure_ascii=False).encode()
        if "\\u0000" in text and _has_nul(value):
            raise _NotStrictError("The body contains a null character.")
    except json.JSONDecodeError as error:
        detail = f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        raise ParseError(detail, line=error.lineno, column=error.colno, position=error.pos) from None
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not valid UTF-8 (byte {error.start}).", position=error.start) from None
    except UnicodeEncodeError:
        raise ParseError("The body contains a lone surrogate, which is not a character.") from None
    except RecursionError:
        raise ParseError("The body is nested too deeply.") from None
    except _NotStrictError as error:
        raise ParseError(str(error)) from None
    except ValueError:  # Python's limit for the digits of an int
        raise ParseError("The body contains a number with too many digits.") from None
    return value


def is_short(request: HttpRequest) -> bool:
    """Return True if a body is so short that the event loop may look at it. One of unknown length is not."""
    length = _content_length(request)
    return length is not None and length <= _MAX_INLINE


async def parse_body(request: HttpRequest, parsers: Sequence[Parser]) -> Any:
    """Receive the body and parse it by the parser for its media type. An absent body is None.

    Raises UnsupportedMediaTypeError, before anything is received, if no parser takes it; ContentTooLargeError beyond
    the parser's limit, before anything is received if Content-Length says so.
    """
    _refuse_content_length(request)
    if not request.content_type and await _is_empty(request):
        return None
    coding = coding_of(request)
    parser = next((parser for parser in parsers if parser.reads(request.content_type or "")), None)
    if parser is None:
        raise _unsupported(request, parsers, None)
    limit = parser.limit
    if limit is not None and (_content_length(request) or 0) > limit:
        raise _too_large(limit)
    try:
        await load_body(request, limit=limit)
        if coding is not None and not (request.method == "DELETE" and await _is_empty(request)):
            await decode_body(request, coding, limit=limit)
    except RequestDataTooBig:
        raise _too_large(limit) from None
    if request.method == "DELETE" and await _is_empty(request):
        return None  # clients send the Content-Type of an API also without content
    return await parser.parse(request)


def _refuse_charset(request: HttpRequest, parser: Parser, detail: str) -> None:
    if (request.content_params or {}).get("charset", "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise _unsupported(request, [parser], detail)


# Strict JSON


class _NotStrictError(ValueError):
    """Python's parser takes it, RFC 8259 or 7493 does not."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _NotStrictError(f"The body contains the name {name[:100]!r} twice in one object.")
    return value


def _has_nul(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nul, value)) or any(map(_has_nul, value.values()))
    return any(map(_has_nul, value)) if isinstance(value, list) else isinstance(value, str) and "\0" in value


def _refuse(constant: str) -> Any:
    raise _NotStrictError(f"The body contains {constant}, which is not JSON.")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise _NotStrictError("The body contains a number that is too large.")
    return value


_decode: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite).decode


# Receiving


async def _is_empty(request: HttpRequest) -> bool:
    """Return True if there is no content. The body is looked at only without a Content-Length."""
    if (length := _content_length(request)) is not None:
        return length == 0
    await load_body(request, limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    return not await _read(request)


async def _read(request: HttpRequest) -> bytes:
    length = _content_length(request)
    if length is not None and length <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
        return request.body
    # It may have been spooled to a file.
    return await sync_to_async(lambda: request.body, thread_sensitive=False)()


def _refuse_content_length(request: HttpRequest) -> None:
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdecimal() and len(length) <= LONGEST_LENGTH):
        raise BadRequestError("Content-Length must be a number.", code="malformed_content_length")


def _content_length(request: HttpRequest) -> int | None:
    try:
        return int(request.META["CONTENT_LENGTH"])
    except (KeyError, ValueError):
        return None


def _parse_multipart(request: HttpRequest, limit: int | None) -> Any:
    if _content_length(request) is None:
        length = _received(request)
        if limit is not None and length > limit:
            raise _too_large(limit)
        request.META["CONTENT_LENGTH"] = str(length)  # Django parses nothing without
    if request.method == "POST":
        return request.POST
    post, files = request.parse_file_upload(request.META, request)
    set_files(request, files)  # Django parses POST alone, and closes the files it knows of
    return post


def _received(request: HttpRequest) -> int:
    """Return the length of the body that has been received. Raise APIError, 411, where it is not known, as in WSGI."""
    if has_read_body(request):
        return len(request.body)
    stream = stream_of(request)
    if not (hasattr(stream, "seekable") and stream.seekable()):
        raise APIError("Send a Content-Length with a multipart body.", status=411, code="length_required")
    place: int = stream.tell()
    stream.seek(0, SEEK_END)
    end: int = stream.tell()
    stream.seek(place)
    return end - place


def _matches(pattern: str, media_type: str) -> bool:
    prefix, star, suffix = pattern.partition("*")
    if not star:
        return media_type == pattern
    return media_type.startswith(prefix) and media_type.endswith(suffix) and len(media_type) > len(prefix + suffix)


def _too_large(limit: int | None) -> ContentTooLargeError:
    return ContentTooLargeError(f"The body may have at most {limit} bytes.", limit=limit)


def _unsupported(request: HttpRequest, parsers: Iterable[Parser], detail: str | None) -> UnsupportedMediaTypeError:
    accepted = [media_type for parser in parsers for media_type in parser.media_types if "*" not in media_type]
    # Accept-Patch: RFC 5789 §2.2; Accept-Post: W3C Linked Data Platform §7.1.
    name = {"POST": "Accept-Post", "PATCH": "Accept-Patch"}.get(request.method or "")
    headers = {name: ", ".join(accepted)} if name and accepted else {}
    return UnsupportedMediaTypeError(
        detail or f"Send one of these media types: {', '.join(accepted) or 'none'}.", accepted=accepted, headers=headers
    )
