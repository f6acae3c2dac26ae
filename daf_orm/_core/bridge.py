"""Synchronous code that runs on the event loop itself, and may wait there.

Such code has a separate stack, a greenlet, called its *bridge*. Where it has to wait, it switches to the coroutine that
runs it, which awaits. :mod:`daf_orm._execution.routes.native` makes bridges. The interface is here, so that code which
looks for a bridge needs no greenlet installed.
"""

from __future__ import annotations

import contextlib
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Coroutine
    from types import FrameType


class Waiting(Protocol):
    """An event that one bridge waits for."""

    @property
    def has_happened(self) -> bool:
        """True once it has happened: there is nothing left to wait for."""

    def renew_future(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a new future, which is done when it has happened.

        A cancelled future is replaced, because the work at a server goes on.
        """


class Bridge(Protocol):
    """Synchronous code that runs on an event loop."""

    loop: asyncio.AbstractEventLoop
    hop: Any
    """The hop of its call, kept for ``daf_orm._django.hops``."""
    lease: Any
    turn: Any
    """A lock for the calls of the code that it waits for: they run inside its own, one at a time."""
    is_over: bool

    @property
    def outer_frame(self) -> FrameType | None:
        """The frame of the coroutine that runs it, where it stands beside that."""

    def begins_with(self, frame: FrameType) -> bool:
        """Return True if a frame is the outermost of the bridge's stack."""

    @property
    def is_cut(self) -> bool:
        """True if its task was dropped: it runs to its end, and can wait for nothing."""

    def wait_for(self, waiting: Waiting) -> None:
        """Return when it has happened. A cancellation of the task does not end the wait."""

    def wait_until_done(self, awaitable: Awaitable[Any]) -> Any:
        """Return what the awaitable returns, and raise what it raises. It runs in the same task.

        A cancellation ends it, and is raised here.
        """

    def wait_through(self, task: asyncio.Task[Any]) -> None:
        """Return when a task has ended. A cancellation of the task that waits does not end the wait."""

    def run_within(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a coroutine that may query, or raise its error: its calls run inside this one."""

    def breathe(self) -> None:
        """Let the event loop do other things, if this code has kept it for long."""


class BridgeElsewhere(RuntimeError):
    """The stack of a bridge belongs to another thread, and can be ended there only."""


class _Thread(threading.local):
    bridge: Bridge | None = None


thread = _Thread()


_waiting: ContextVar[Bridge | None] = ContextVar("daf_orm.waiting_bridge", default=None)


async def within(bridge: Bridge, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a coroutine whose calls run inside that of a bridge, which waits for it."""
    token = _waiting.set(bridge)
    try:
        return await coroutine
    finally:
        with contextlib.suppress(ValueError):  # in another context: the coroutine was dropped, and is closed elsewhere
            _waiting.reset(token)


def waiting_bridge() -> Bridge | None:
    """Return the bridge that waits for this code on the event loop; None if there is none."""
    bridge = _waiting.get()
    return None if bridge is None or bridge.is_over else bridge


def current_bridge() -> Bridge | None:
    """Return the bridge that this code runs in; None if it runs in none, so that waiting blocks the thread."""
    return thread.bridge


def caller_of(frame: FrameType) -> FrameType | None:
    """Return the frame that called another one; for a bridge's outermost frame, that of the coroutine that runs it."""
    if frame.f_back is not None or (bridge := thread.bridge) is None or not bridge.begins_with(frame):
        return frame.f_back
    return bridge.outer_frame


def identify() -> int:
    """Return a number for the stack that this code runs on: a thread's, or that of a bridge on it."""
    bridge = thread.bridge
    return threading.get_ident() if bridge is None else -id(bridge)
