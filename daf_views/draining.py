"""Whether the server is about to stop, for whoever would otherwise go on for ever: streams, readiness, new work.

Each event loop has its own drain: a process may run several, one after the other in tests.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

logger = logging.getLogger("daf_views")


class Drain:
    """What an event loop's server wants: to go on, or to end what it has begun and stop."""

    __slots__ = ("_closers", "_finishers", "_requested", "_tasks", "is_over")

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._finishers: list[Callable[[float], Awaitable[None]]] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self.is_over = False
        """Whether everything has ended that was waited for, so that nothing may be begun any more."""

    @property
    def requested(self) -> bool:
        """Whether the server wants to stop."""
        return self._requested.is_set()

    def request(self) -> None:
        """Ask everybody to come to an end. Cannot be undone: the loop's server does not start again."""
        self._requested.set()

    async def wait(self) -> None:
        """Wait until the server wants to stop."""
        await self._requested.wait()

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Remember a task that nobody else does until it has ended; :meth:`settle` waits for it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def finish_with(self, finisher: Callable[[float], Awaitable[None]]) -> None:
        """Have :meth:`settle` await a coroutine function that ends work, given the seconds that it may take."""
        self._finishers.append(finisher)

    def call_at_end(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Have something closed by :meth:`settle`, after the tasks that may still use it."""
        self._closers.append(closer)

    async def settle(self, timeout: float) -> None:
        """Wait for the tasks that are kept, up to ``timeout`` seconds; cancel those that have not ended then."""
        deadline = asyncio.get_running_loop().time() + timeout
        await asyncio.sleep(0)  # who ended last may be about to start one
        await asyncio.gather(*(finisher(timeout) for finisher in self._finishers))
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(tuple(self._tasks), timeout=left)  # and those that they keep
        self.is_over = True
        if late := tuple(self._tasks):
            for task in late:
                task.cancel()
            await asyncio.wait(late)
        while self._closers:
            await _close(self._closers.pop())


async def _close(closer: Callable[[], Awaitable[None]]) -> None:
    try:
        await closer()
    except Exception:  # the others are to be closed all the same
        logger.exception("Something could not be closed at the end.")


def running_loops() -> list[asyncio.AbstractEventLoop]:
    """Return the event loops that have a drain, and run."""
    return [loop for loop in tuple(_drains) if loop.is_running()]


_drains: dict[asyncio.AbstractEventLoop, Drain] = {}


def current_drain() -> Drain:
    """Return the running event loop's drain."""
    loop = asyncio.get_running_loop()
    if (drain := _drains.get(loop)) is None:
        # A drain knows its loop, so a weak dictionary would keep both for ever.
        for closed in [each for each in _drains if each.is_closed()]:
            del _drains[closed]
        drain = _drains[loop] = Drain()
    return drain
