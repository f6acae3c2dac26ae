"""Server-sent events (WHATWG HTML, section 9.2), from an async iterator."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daf_views._core.drain import current_drain
from daf_views.http.json import as_json
from daf_views.settings import get_settings
from daf_views.streaming.response import StreamResponse
from daf_views.streaming.sources import Content, SourceReader, as_source, report

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping

    from django.http import HttpRequest

CONTENT_TYPE = "text/event-stream; charset=utf-8"
HEADERS = {
    "Cache-Control": "no-store, no-transform",  # RFC 9111: not kept, nor compressed on the way
    "Content-Encoding": "identity",  # Django's GZipMiddleware skips encoded responses
    "X-Accel-Buffering": "no",  # nginx passes each event on at once
}
HEARTBEAT = b":\n\n"
"""A comment, which a client ignores, and which keeps a proxy from closing the stream."""

_LINE_BREAK = re.compile(r"\r\n|\r|\n")  # the three that the standard knows; str.splitlines() knows more


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. Raises ValueError for a name or an id that would break out of its field."""

    data: Any
    """A string, sent unchanged, line by line; anything else is sent as JSON."""
    event: str | None = None
    """Its name, one line; None is the client's ``message``."""
    id: str | None = None
    """The ``Last-Event-ID`` of a client that reconnects; "" makes it forget the last. No NUL, no line break."""
    retry: int | None = None
    """Milliseconds that the client is to wait before it reconnects, from now on."""

    def __post_init__(self) -> None:
        if self.event is not None and _LINE_BREAK.search(self.event):
            raise ValueError(f"The name of an event is one line, not {self.event!r}.")
        if self.id is not None and ("\0" in self.id or _LINE_BREAK.search(self.id)):
            raise ValueError(f"The id of an event has no line break and no NUL, unlike {self.id!r}.")
        _check_retry(self.retry)

    def encode(self) -> bytes:
        """Return the event in the bytes that are sent. Raises TypeError or ValueError for data that is not JSON."""
        data = self.data if isinstance(self.data, str) else as_json(self.data)
        fields = [("event", self.event), ("id", self.id), ("retry", self.retry)]
        fields += [("data", line) for line in _LINE_BREAK.split(data)]
        return "".join([*(f"{name}: {value}\n" for name, value in fields if value is not None), "\n"]).encode()


def _check_retry(retry: Any) -> None:
    if retry is None:
        return
    if not isinstance(retry, int) or isinstance(retry, bool) or retry < 0:
        raise ValueError(f"retry is a whole number of milliseconds, 0 or more, not {retry!r}.")


def last_event_id(request: HttpRequest) -> str | None:
    """Return the id of the last event that a reconnecting client has received; None if it is new.

    The client may have sent anything: use it only to look events up.
    """
    value = request.headers.get("Last-Event-ID")
    # Clients send UTF-8, servers hand headers on as Latin-1.
    return None if value is None else value.encode("latin-1", "replace").decode("utf-8", "replace")


def sse(
    source: AsyncIterable[Any] | Callable[[str | None], AsyncIterable[Any]],
    *,
    request: HttpRequest | None = None,
    heartbeat: float | None = None,
    retry: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> StreamResponse:
    """Answer with the events of an async iterator: :class:`Event`, or anything else, which is an event's data.

    ``sse(feed, request=request)`` calls a function with the id of the last event that the client has received, or
    None, for the iterator to go on from there. ``heartbeat``: seconds of silence after which a comment is sent
    (``DAF_VIEWS["HEARTBEAT"]``). ``retry``: milliseconds after which a client reconnects, sent first.

    The source is asked for an event when the client has taken the last. It is closed as soon as the client disconnects
    or the server drains, and holds no connection of the pool unless it does so itself. A client of a draining server is
    told when to come back (``retry``, or ``DAF_VIEWS["RETRY_AFTER"]``). If the source raises, the error is logged with
    an id, which the client finds in a comment, and the connection is broken off; the client reconnects.

    Raises TypeError if the source is not an async iterable, ValueError for a wrong heartbeat or retry.
    """
    if callable(source) and not hasattr(source, "__aiter__"):
        if request is None:
            raise TypeError("sse() needs request= to call its source with the id of the client's last event.")
        source = source(last_event_id(request))
    if heartbeat is not None and not heartbeat > 0:
        raise ValueError(f"heartbeat is a number of seconds, more than 0, not {heartbeat!r}.")
    _check_retry(retry)
    source = as_source(source, used_by="sse")
    frames = _frames(source, heartbeat or get_settings().HEARTBEAT, retry)
    return StreamResponse(Content(frames, source), content_type=CONTENT_TYPE, headers=HEADERS | dict(headers or {}))


async def _frames(source: AsyncIterable[Any], heartbeat: float, retry: int | None) -> AsyncGenerator[bytes, None]:
    if retry is not None:
        yield _retry_frame(retry)
    drain, reader = current_drain(), SourceReader(source)
    drained = asyncio.create_task(drain.wait())
    try:
        while not drain.requested:
            answer = reader.ask()
            while not (answer.done() or reader.task.done() or drain.requested):
                if not await _any_of(answer, reader.task, drained, timeout=heartbeat):
                    yield HEARTBEAT
            if answer.done():
                yield _as_event(answer.result()).encode()
            elif reader.task.done():
                _raise_failure(reader.task)
                if not drain.requested:
                    return
        yield _retry_frame(get_settings().RETRY_AFTER * 1000 if retry is None else retry)
    except Exception as error:
        yield f": error {report(error)}\n\n".encode()
        raise
    finally:
        drained.cancel()  # it waits for an event only: nothing to wait for
        await reader.aclose()


async def _any_of(*futures: asyncio.Future[Any], timeout: float) -> bool:
    """Wait until one of the futures is done; return False if none is after ``timeout`` seconds."""
    done, _ = await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    return bool(done)


def _raise_failure(task: asyncio.Task[None]) -> None:
    """Raise the error of the source, if there is one."""
    if task.cancelled():  # not by us: to raise CancelledError here would say that the client has gone
        raise RuntimeError("The source of the stream was cancelled from outside.")
    task.result()


def _as_event(item: object) -> Event:
    return item if isinstance(item, Event) else Event(data=item)


def _retry_frame(milliseconds: int) -> bytes:
    return f"retry: {milliseconds}\n\n".encode()
