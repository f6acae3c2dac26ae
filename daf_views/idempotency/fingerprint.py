"""Fingerprints, which tell a repeated request from another one: method, path, query, body, and declared headers.

The body counts byte by byte, with its type and coding, as does each header that the handler declares.

A body can be read once where it is parsed from a stream, as uploads are. So it is hashed when it is received, before
it is parsed, and within the limit it is received with.
"""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings

from daf_views._django.requests import has_read_body, stream_of
from daf_views.http.request import load_body

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest

_DIGEST = "daf_views_body_digest"
_MAX_INLINE = 64 * 2**10
"""Bytes that are hashed on the event loop: well under a millisecond of it. More are hashed on a worker thread."""


def digest(parts: list[str | None]) -> str:
    """Return a digest of these texts: 64 hexadecimal characters."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=32).hexdigest()


async def watch_body(request: HttpRequest) -> None:
    """Have the body hashed while it is received; or now, if it is there already, as under Django's own handler."""
    receive = getattr(request, "receive_body", None)
    if receive is None:
        request.__dict__[_DIGEST] = await _digest_of(_received(request))
        return

    async def receive_and_hash(limit: int | None) -> IO[bytes]:
        file: IO[bytes] = await receive(limit)
        request.__dict__[_DIGEST] = await _digest_of(file)
        return file

    request.receive_body = receive_and_hash  # type: ignore[attr-defined] # AsyncRequest's


async def fingerprint_of(request: HttpRequest, declared: Iterable[str | None] = ()) -> str:
    """Return the fingerprint of a watched request. A body that has not been read is received now.

    ``declared``: names and values of headers and cookies that count, too.

    Raises RequestDataTooBig if that has more than ``DATA_UPLOAD_MAX_MEMORY_SIZE`` bytes.
    """
    if _DIGEST not in request.__dict__:
        await load_body(request, limit=settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    meta, body = request.META, request.__dict__[_DIGEST]
    about_body = [meta.get("CONTENT_TYPE"), meta.get("HTTP_CONTENT_ENCODING"), body]
    return digest([request.method, request.path, meta.get("QUERY_STRING"), *about_body, *declared])


def _received(request: HttpRequest) -> Any:
    """Return the received body as a file. A stream that can be read only once is read into memory, as Django does."""
    stream = stream_of(request)
    if not has_read_body(request) and hasattr(stream, "seekable") and stream.seekable():
        return stream
    return BytesIO(request.body)


async def _digest_of(file: Any) -> str:
    if isinstance(file, BytesIO) and file.getbuffer().nbytes <= _MAX_INLINE:
        return _hashed(file)
    return await sync_to_async(_hashed, thread_sensitive=False)(file)


def _hashed(file: Any) -> str:
    """Return the digest of the whole file, and leave the file where it was."""
    place = file.tell()
    file.seek(0)
    result = hashlib.blake2b(digest_size=32)
    while chunk := file.read(_MAX_INLINE):
        result.update(chunk)
    file.seek(place)
    return result.hexdigest()
