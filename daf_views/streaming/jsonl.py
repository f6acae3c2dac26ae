"""JSON lines: one JSON document per line, each sent immediately."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Any

from daf_views.http.json import as_json
from daf_views.streaming.response import StreamResponse
from daf_views.streaming.sources import Content, as_source, close, report

CONTENT_TYPE = "application/jsonl"
"""The media type of https://jsonlines.org and of OpenAPI 3.2; it has no charset, JSON is UTF-8."""


def jsonl(source: AsyncIterable[Any], *, headers: Mapping[str, str] | None = None) -> StreamResponse:
    """Answer with the items of an async iterator, one JSON document per line.

    The source is asked for the next item when the client has taken the last, and closed as soon as the client hangs
    up. If it raises, the error is logged with an id and the connection is broken off, so that a client can tell a part
    from the whole. For the same reason a draining server does not end it early: an endless source should look at
    :func:`daf_views.asgi.current_drain` itself. Raises TypeError if the source is not an async iterable.
    """
    source = as_source(source, used_by="jsonl")
    return StreamResponse(
        Content(_lines(source), source),
        content_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"} | dict(headers or {}),
    )


async def _lines(source: AsyncIterable[Any]) -> AsyncGenerator[bytes, None]:
    iterator = aiter(source)
    try:
        async for item in iterator:
            yield f"{as_json(item)}\n".encode()
    except Exception as error:
        report(error)
        raise
    finally:
        await close(iterator)
