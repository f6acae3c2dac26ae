"""Which event loop something runs on that is begun from wherever: a coroutine, a thread, a signal receiver."""

from __future__ import annotations

import asyncio
import os

from asgiref.sync import SyncToAsync

from daf_views.draining import running_loops
from daf_views.exceptions import NoEventLoopError


def loop_for(what: str) -> asyncio.AbstractEventLoop:
    """Return the running event loop; in synchronous code the one that called it, or the only one that serves.

    Raises NoEventLoopError, which names ``what`` was to run, if there is none, or if it is not clear which.
    """
    running = asyncio._get_running_loop()  # noqa: SLF001 - the cheap way to ask
    if running is not None:
        return running
    caller = _calling_loop()
    if caller is not None and caller.is_running():
        return caller
    serving = running_loops()
    if len(serving) == 1:
        return serving[0]
    reason = f"{len(serving)} event loops run, none of which has called it" if serving else "no event loop runs"
    raise NoEventLoopError(
        f"{what} was begun from synchronous code, and {reason}: begin it from async code, or give the task a backend "
        "that keeps it for a worker."
    )


def _calling_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that waits for this thread: a private name of asgiref's, and this is its one place."""
    local = SyncToAsync.threadlocal
    if getattr(local, "main_event_loop_pid", None) != os.getpid():
        return None
    loop: asyncio.AbstractEventLoop | None = getattr(local, "main_event_loop", None)
    return loop
