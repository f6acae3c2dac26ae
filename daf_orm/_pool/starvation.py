"""A warning for calls that wait while every connection is pinned by an owner that does not use it."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Protocol

from daf_orm._pool.pins import PIN_PATIENCE

if TYPE_CHECKING:
    import asyncio

WARNING_INTERVAL = 10.0
"""Seconds between two warnings that calls wait for unused connections."""
logger = logging.getLogger("daf_orm")


class Pool(Protocol):
    """The pool that is watched."""

    max_size: int

    @property
    def waiting(self) -> int:
        """Number of calls that wait for a lease."""

    def is_starved(self) -> bool:
        """Return True if all leases are pinned, and none is in use."""

    def name_holders(self) -> str:
        """Return the places where the leases are held, as one text for messages."""


class StarvationWatch:
    """Checks a pool every ``PIN_PATIENCE`` seconds, for as long as calls wait for a lease."""

    def __init__(self, pool: Pool) -> None:
        self._pool = weakref.ref(pool)  # a pool that was replaced may go
        self._loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
        """Event loops that have a check scheduled."""
        self._lock = threading.Lock()  # threads that wait look too
        self._warned = float("-inf")

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Schedule a check of the pool. On the event loop."""
        if loop not in self._loops:
            self._loops.add(loop)
            loop.call_later(PIN_PATIENCE, self.look, loop)

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Warn if the waiting calls are starved, and schedule another check while any call waits. On the event loop."""
        self._loops.discard(loop)
        if (pool := self._pool()) is not None and pool.waiting:
            self.warn()
            self.start(loop)

    def warn(self) -> None:
        """Log that calls wait, if the pool is starved: at most once in ``WARNING_INTERVAL`` seconds."""
        pool = self._pool()
        with self._lock:
            now = time.monotonic()
            if pool is None or now - self._warned < WARNING_INTERVAL or not pool.is_starved():
                return
            self._warned = now
        logger.warning(
            "%d calls wait for a connection, and all %d are kept by owners that do not use them: %s. If those owners "
            "wait for one of the calls, all wait until DAF_ORM['TIMEOUT']. Raise MAX_SIZE above the number of requests "
            "that keep one, or make their settings by DAF_ORM['CONFIGURE'].",
            pool.waiting,
            pool.max_size,
            pool.name_holders(),
        )
