"""Bodies in a content coding (RFC 9110 §8.4): refused with 415, unless ``CONTENT_CODINGS`` names the coding.

A few bytes of gzip may be gigabytes of zeros. So a body is inflated piece by piece, on a worker thread, and no further
than its parser's limit.
"""

from __future__ import annotations

import tempfile
import zlib
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig

from daf_views._core.cancellation import shielded
from daf_views._django.requests import has_read_body, replace_body, stream_of
from daf_views.exceptions import ParseError, UnsupportedMediaTypeError
from daf_views.settings import get_settings, zstd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

_CHUNK = 64 * 2**10
_MOST = 32 * 2**20
"""Bytes to which a body may be inflated if its parser has no limit."""
_MOST_MEMBERS = 100


def coding_of(request: HttpRequest) -> str | None:
    """Return the coding that the body is to be decoded from. Raises UnsupportedMediaTypeError for any other."""
    field: str = request.META.get("HTTP_CONTENT_ENCODING", "")
    if not field:
        return None
    codings = [each for part in field.split(",") if (each := part.strip().lower()) not in {"", "identity"}]
    if not codings:
        return None
    coding = codings[0].removeprefix("x-")
    if len(codings) == 1 and coding in get_settings().CONTENT_CODINGS:
        return coding
    accepted = ", ".join(get_settings().CONTENT_CODINGS) or "identity"
    raise UnsupportedMediaTypeError(
        f"Send the body with one of these content codings: {accepted}.", headers={"Accept-Encoding": accepted}
    )


async def decode_body(request: HttpRequest, coding: str, *, limit: int | None) -> None:
    """Replace the received body with its decoded content.

    Raises RequestDataTooBig if that has more than ``limit`` bytes, ParseError if it is not in the coding.
    """
    # To the end: a thread that reads must not meet a file that is being closed.
    await shielded(sync_to_async(_decode, thread_sensitive=False)(request, coding, _MOST if limit is None else limit))


def _decode(request: HttpRequest, coding: str, limit: int) -> None:
    source = BytesIO(request.body) if has_read_body(request) else stream_of(request)
    body: IO[bytes] = BytesIO()
    size = 0
    try:
        for part in _inflated(source, coding):
            size += len(part)
            if size > limit:
                raise RequestDataTooBig(f"The decoded request body is larger than {limit} bytes.")
            if isinstance(body, BytesIO) and size > settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
                small, body = body, tempfile.TemporaryFile()  # noqa: SIM115 - closed with the request
                body.write(small.getvalue())
            body.write(part)
    except BaseException:
        body.close()
        raise
    body.seek(0)
    replace_body(request, body, size)
    source.close()


def _inflated(source: Any, coding: str) -> Iterator[bytes]:
    """Yield the decoded content of a file, in parts of a bounded size."""
    try:
        yield from _parts(source, coding)
    except _errors() as error:
        raise ParseError(f"The body is not valid {coding}.") from error


def _parts(source: Any, coding: str) -> Iterator[bytes]:
    decoder, members = _decoder(coding), 1
    while data := source.read(_CHUNK):
        while data:
            if decoder.eof:  # gzip and zstd may have several members, one after the other
                members += 1
                if coding == "deflate" or members > _MOST_MEMBERS:  # empty ones take time, and no bytes
                    raise EOFError
                decoder = _decoder(coding)
            yield from decoder.parts(data)
            data = decoder.unused_data
    if not decoder.eof:
        raise EOFError


def _decoder(coding: str) -> Any:
    return _Zstd() if coding == "zstd" else _Zlib(31 if coding == "gzip" else zlib.MAX_WBITS)


class _Zlib:
    def __init__(self, bits: int) -> None:
        self._decoder = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def parts(self, data: bytes) -> Iterator[bytes]:
        while True:
            part = self._decoder.decompress(data, _CHUNK)
            yield part
            data = self._decoder.unconsumed_tail
            if self._decoder.eof or not (data or len(part) == _CHUNK):
                return


class _Zstd:
    def __init__(self) -> None:
        module = zstd()
        assert module is not None  # as the settings' check has seen
        self._decoder = module.ZstdDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def unused_data(self) -> bytes:
        data: bytes = self._decoder.unused_data
        return data

    def parts(self, data: bytes) -> Iterator[bytes]:
        yield self._decoder.decompress(data, _CHUNK)
        while not (self._decoder.eof or self._decoder.needs_input):
            yield self._decoder.decompress(b"", _CHUNK)


def _errors() -> tuple[type[Exception], ...]:
    module = zstd()
    return (zlib.error, EOFError, *(() if module is None else (module.ZstdError,)))
