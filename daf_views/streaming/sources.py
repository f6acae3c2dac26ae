"""The async iterator that a stream is made from: which sources are valid, its end, and its failure.

A source is read, and closed, in one task, so that context variables, timeouts and task groups in it work as they do in
any coroutine.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import uuid
from typing import TYPE_CHECKING, Any

from daf_views._core.cancellation import wait_until_done

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

logger = logging.getLogger("daf_views")


def as_source(source: object, *, used_by: str) -> AsyncIterable[Any]:
    """Return the source. Raise TypeError, with the remedy, for anything but an async iterable."""
    if hasattr(source, "__aiter__"):
        return source
    if inspect.iscoroutine(source):
        source.close()  # or Python warns that it was never awaited
        remedy = "It is a coroutine: `yield` in it, or await it first."
    else:
        remedy = "Write an async generator (async def … yield), and put database work in it behind `await`."
    raise TypeError(f"{used_by}() takes an async iterator, not {type(source).__name__}. {remedy}")


async def close(iterator: AsyncIterable[Any]) -> None:
    """Close an async iterator, if it can be closed."""
    if (aclose := getattr(iterator, "aclose", None)) is not None:
        await aclose()


class Content:
    """The content of a stream, made from a source: closing it closes the source, also if nothing has been sent yet.

    A generator that has not started knows nothing of its source.
    """

    def __init__(self, parts: AsyncGenerator[bytes, None], source: AsyncIterable[Any]) -> None:
        self._parts = parts
        self._source = source
        self._has_begun = False

    def __aiter__(self) -> Content:
        return self

    async def __anext__(self) -> bytes:
        self._has_begun = True
        return await anext(self._parts)

    async def aclose(self) -> None:
        """End the stream where it is."""
        await self._parts.aclose()
        if not self._has_begun:
            await close(self._source)


def report(error: Exception) -> str:
    """Log the error that cut a stream off; return its id, which is all that a client may see."""
    error_id = uuid.uuid4().hex
    error.add_note(f"DAF error id: {error_id}")  # the server logs it again: the response can no longer say anything
    logger.error("A stream was cut off by an error in its source (error id %s).", error_id, exc_info=error)
    return error_id


class SourceReader:
    """Reads a source in a separate task, one item at a time, and only when asked.

    The task that sends can then wait for an item, for a while, without cancelling the source when it has waited long
    enough. There is no queue: the source is not asked for an item before the last one has been taken.
    """

    def __init__(self, source: AsyncIterable[Any]) -> None:
        self._iterator = aiter(source)
        self._asked = asyncio.Event()
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._has_begun = False
        self._is_closing = False
        self.task = asyncio.create_task(self._read())
        """Ends when the source does, and fails if it does."""

    def ask(self) -> asyncio.Future[Any]:
        """Ask for the next item. The future is fulfilled with it; if the source ends instead, it never is."""
        self._answer = asyncio.get_running_loop().create_future()
        self._asked.set()
        return self._answer

    async def aclose(self) -> None:
        """Close the source, in the task that has read it, and wait for that."""
        self._is_closing = True
        await end(self.task)
        if not self._has_begun:  # a task that is cancelled before its first step never runs
            await close(self._iterator)

    async def _read(self) -> None:
        self._has_begun = True
        try:
            await self._asked.wait()
            async for item in self._iterator:
                if self._is_closing:  # it has swallowed the cancellation, and goes on
                    return
                self._asked.clear()
                self._answer.set_result(item)
                await self._asked.wait()
        finally:
            await close(self._iterator)


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait until it has ended. A cancellation of the caller meanwhile cancels the task again."""
    if task.done():
        return
    task.cancel()
    cancelled = await wait_until_done(task, task.cancel)
    if not task.cancelled() and (failure := task.exception()) is not None:
        logger.error("The source of a stream failed while it was closed.", exc_info=failure)
    if cancelled is not None:
        raise cancelled
