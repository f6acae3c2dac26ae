"""The drain of an event loop: it tells streams, readiness and new work that the server is about to stop.

Each event loop has its own drain: a process may run several, one after the other in tests.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

logger = logging.getLogger("daf_views")


GRACE = 5.0
"""Seconds that a cancelled task may take to end."""


class Drainable(Protocol):
    """Runs work on an event loop and keeps a record of it."""

    def is_idle(self) -> bool:
        """Return True if there is no work."""

    async def idle(self) -> None:
        """Wait until there is no work."""

    def stop_by(self, deadline: float) -> None:
        """Start no work that cannot end by ``deadline``, a time of the event loop's clock."""

    async def stop(self) -> None:
        """Stop at once, and hand over or log the unfinished work."""

    def log_unfinished(self) -> None:
        """Log the unfinished work without waiting for anything."""


class Drain:
    """The state of an event loop's server: running, or finishing its work in order to stop."""

    __slots__ = ("_closers", "_requested", "_tasks", "_workers", "is_over")

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._workers: list[Drainable] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self.is_over = False
        """True once the drain has ended: no more work may be started."""

    @property
    def requested(self) -> bool:
        """Return True if the server has asked to stop."""
        return self._requested.is_set()

    def request(self) -> None:
        """Ask all work to end. This cannot be undone: the loop's server does not start again."""
        self._requested.set()

    async def wait(self) -> None:
        """Wait until the server wants to stop."""
        await self._requested.wait()

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Keep a reference to a task until it has ended; :meth:`settle` waits for it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def add(self, worker: Drainable) -> None:
        """Have :meth:`settle` wait until a worker is idle, and then stop it."""
        self._workers.append(worker)

    def call_at_end(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Have something closed by :meth:`settle`, after the tasks that may still use it."""
        self._closers.append(closer)

    async def settle(self, timeout: float) -> None:
        """Wait for tasks that are kept and for workers, up to ``timeout`` seconds; then stop the rest."""
        deadline = asyncio.get_running_loop().time() + timeout
        try:
            await asyncio.sleep(0)  # the task that ended last may be about to start one
            while asyncio.get_running_loop().time() < deadline and (waited_for := self._unfinished(deadline)):
                await _wait(waited_for, deadline)
            self.is_over = True
            for error in await asyncio.gather(*(worker.stop() for worker in self._workers), return_exceptions=True):
                _log(error)
        except asyncio.CancelledError:  # the server does not wait that long
            for worker in self._workers:
                worker.log_unfinished()
            raise
        await self._cancel_late()
        while self._closers:
            await _close(self._closers.pop())

    def _unfinished(self, deadline: float) -> list[Awaitable[None]]:
        for worker in self._workers:  # some may have come since
            worker.stop_by(deadline)
        return [*self._tasks, *(worker.idle() for worker in self._workers if not worker.is_idle())]

    async def _cancel_late(self) -> None:
        late = tuple(self._tasks)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=GRACE)
        for task in self._tasks.intersection(late):
            logger.error("%s ignored its cancellation during shutdown and was abandoned.", task.get_name())


async def _wait(awaitables: list[Awaitable[None]], deadline: float) -> None:
    """Wait until all have ended. Coroutines that have not ended by the deadline are cancelled."""
    futures = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(futures, timeout=deadline - asyncio.get_running_loop().time())
    finally:
        for future, each in zip(futures, awaitables, strict=True):
            if future is not each:
                future.cancel()


def _log(error: BaseException | None) -> None:
    if error is not None:
        logger.error("Could not report unfinished work during shutdown.", exc_info=error)


async def _close(closer: Callable[[], Awaitable[None]]) -> None:
    try:
        await closer()
    except Exception:  # the others must still be closed
        logger.exception("A closer failed during shutdown; the others still run.")


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
