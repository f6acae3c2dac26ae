"""Close connections that have been idle for too long, down to ``min_size``."""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from typing import TYPE_CHECKING

from daf_orm._pool.threads import close_all

if TYPE_CHECKING:
    import threading

    from daf_orm._leases.connection_set import ConnectionSet
    from daf_orm._pool.stock import Stock
    from daf_orm._pool.threads import PoolThreads


class Trimmer:
    """Checks a pool's idle connections every ``max_idle / 2`` seconds, for as long as some event loop runs."""

    def __init__(self, lock: threading.Lock, stock: Stock, threads: PoolThreads, *, max_idle: float) -> None:
        self._lock = lock
        self._stock = stock
        self._threads = threads
        self._max_idle = max_idle
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that has the next check scheduled

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Schedule a check, on this loop if no other loop has one. From any thread."""
        if self._loop is not loop:
            with self._lock:
                self._schedule(loop)

    def trim(self) -> None:
        """Close connections that have been idle for too long. On an event loop."""
        with self._lock:
            self._loop = None
            if self._stock.closed:
                return
            surplus = self._stock.take_surplus(time.monotonic() - self._max_idle)
            if self._stock.has_more_than(len(surplus)):
                self._schedule(asyncio.get_running_loop())
        if surplus:
            self._threads.executor.submit(self._discard, surplus)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is None or self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop is closed
                # From a thread too. A weak reference: a pool that was replaced may go.
                loop.call_soon_threadsafe(loop.call_later, self._max_idle / 2, _trim, weakref.ref(self))
                self._loop = loop

    def _discard(self, surplus: list[ConnectionSet]) -> None:
        close_all(surplus)
        self._stock.discard(len(surplus))


def _trim(reference: weakref.ref[Trimmer]) -> None:
    if (trimmer := reference()) is not None:
        trimmer.trim()
