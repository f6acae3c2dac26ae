"""The event loop for work that is begun elsewhere: in a coroutine, a thread, a signal receiver."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING, TypeVar

from daf_views._core.drain import running_loops
from daf_views._django.executors import calling_loop, is_temporary
from daf_views.exceptions import NoEventLoopError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds that a thread waits for a busy event loop."""


def loop_for(what: str) -> asyncio.AbstractEventLoop:
    """Return the running event loop; in synchronous code the one that called it, or the only one that serves.

    A loop that synchronous code has made for one coroutine, as under WSGI, ends with it, and does not count. Raises
    NoEventLoopError, which names ``what`` was to run, if there is no loop or more than one.
    """
    for loop in (running_loop(), calling_loop()):
        if loop is not None and loop.is_running() and not is_temporary(loop):
            return loop
    serving = [loop for loop in running_loops() if not is_temporary(loop)]
    if len(serving) == 1:
        return serving[0]
    reason = f"{len(serving)} event loops run, none of which called it" if serving else "no long-lived event loop runs"
    raise NoEventLoopError(
        f"{what} was started from synchronous code, or from async code that it waits for, and {reason}: start it under "
        "an ASGI server, or give the task a backend that keeps it for a worker."
    )


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, if one does."""
    return asyncio._get_running_loop()  # noqa: SLF001 - the cheap way to ask


def call_on(loop: asyncio.AbstractEventLoop, func: Callable[[], T], what: str) -> T:
    """Call a function on an event loop, from any thread, and return its result.

    Raises NoEventLoopError if a thread's wait for the loop times out; then the function is not called.
    """
    if running_loop() is loop:
        return func()

    async def call() -> T:
        return func()

    future = asyncio.run_coroutine_threadsafe(call(), loop)
    try:
        return future.result(PATIENCE)
    except concurrent.futures.TimeoutError as error:
        if not future.cancel():
            return future.result()
        raise NoEventLoopError(f"{what} was not started: its event loop was busy for {PATIENCE} s.") from error
