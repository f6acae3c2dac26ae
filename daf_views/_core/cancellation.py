"""Run work to its end under cancellation, and tell a cancellation of the running task from one of what it awaits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from daf_views._core.drain import current_drain
from daf_views.exceptions import ShuttingDownError, StrayCancellationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine
    from contextvars import Context

T = TypeVar("T")
_INTERVAL = 0.2
"""Seconds after which a cancelled task that has not ended is cancelled again."""


async def shielded(work: Coroutine[Any, Any, T], context: Context | None = None) -> T:
    """Run a coroutine in a new task and wait until it has ended, however often this task is cancelled.

    A cancellation meanwhile is raised at the end.
    """
    task: asyncio.Task[T] = asyncio.get_running_loop().create_task(work, context=context)
    if (cancelled := await wait_until_done(task)) is not None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            raise cancelled from failure
        raise cancelled
    return task.result()


async def wait_until_done(
    task: asyncio.Task[Any], on_cancel: Callable[[], object] | None = None
) -> asyncio.CancelledError | None:
    """Wait until a task has ended, however often this one is cancelled; return the last cancellation.

    ``on_cancel`` is called at each.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
            if on_cancel is not None:
                on_cancel()
    return cancelled


def is_cancelled() -> bool:
    """Return True if the running task has been cancelled, rather than something that it awaits."""
    task = asyncio.current_task()
    return task is not None and bool(task.cancelling())


def refuse_stray_cancellation(error: asyncio.CancelledError) -> None:
    """Raise StrayCancellationError unless it is the running task that has been cancelled."""
    if asyncio.current_task() is not None and not is_cancelled():
        raise StrayCancellationError(
            "The view awaited something that had been cancelled, although the request had not."
        ) from error


async def cancel_until_ended(tasks: Collection[asyncio.Task[None]], patience: float) -> None:
    """Cancel tasks until they have ended, for ``patience`` seconds: psycopg 3.2 may lose the first cancellation."""
    for _ in range(round(patience / _INTERVAL)):
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_INTERVAL)
        if not tasks:
            return


async def in_time(call: Coroutine[Any, Any, T], timeout: float) -> T:
    """Await a call, which may be busy in a thread; after ``timeout`` seconds leave it to end in the background.

    ``asyncio.timeout()`` would wait until the thread is quiet, and so as long as a server that is silent likes.
    """
    task = asyncio.get_running_loop().create_task(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError:
        _leave(task)
        raise
    if not done:
        _leave(task)
        raise TimeoutError(f"There was no answer within {timeout} s.")
    if task.cancelled():
        raise ShuttingDownError("The server stops, and no longer waits for an answer.")
    return task.result()


def _leave(task: asyncio.Task[Any]) -> None:
    task.cancel()
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # or asyncio logs an unretrieved error
    current_drain().keep(task)
