"""The bookkeeping of a pool: idle connections, leases in use, and waiting calls. It does no I/O."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING

from daf_orm._core.locks import WaitQueue
from daf_orm.exceptions import PoolClosed, TooManyRequests

if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Callable

    from daf_orm._core.locks import Waiter
    from daf_orm._leases.connection_set import ConnectionSet
    from daf_orm._leases.lease import Lease
    from daf_orm._leases.owner import Owner
    from daf_orm._pool.pins import Pins

_COUNTERS = (
    "requests_num",
    "requests_queued",
    "requests_wait_ms",
    "requests_errors",
    "returns_cleaned",
    "returns_bad",
    "connections_lost",
)


class Stock:
    """At most ``max_size`` sets of connections. ``lock`` is the pool's; methods marked "locked" do not take it."""

    def __init__(  # noqa: PLR0913 - each is the pool's
        self,
        lock: threading.Lock,
        pins: Pins,
        *,
        min_size: int,
        max_size: int,
        max_waiting: int,
        new_set: Callable[[], ConnectionSet],
        new_lease: Callable[[ConnectionSet, asyncio.AbstractEventLoop | None], Lease],
    ) -> None:
        self.closed = False
        self.idle: list[ConnectionSet] = []
        """Last in, first out: unneeded sets age at the front."""
        self.lent: dict[Lease, ConnectionSet] = {}
        self.queue: WaitQueue[Lease] = WaitQueue()
        self._lock = lock
        self._pins = pins
        self._min_size = min_size
        self._max_size = max_size
        self._max_waiting = max_waiting
        self._new_set = new_set
        self._new_lease = new_lease
        self._size = 0  # idle, lent, or being closed
        self._loop: asyncio.AbstractEventLoop | None = None  # that the last lease was lent to
        self._serves_several = False  # True if the leases in use may be those of several event loops
        self._emptied: list[Future[None]] = []  # for the return of the last lease
        self._counters = dict.fromkeys(_COUNTERS, 0)

    # Lending

    def lend_or_join(
        self, owner: Owner, loop: asyncio.AbstractEventLoop, waits_on: asyncio.AbstractEventLoop | None
    ) -> tuple[Lease | None, Waiter[Lease] | None]:
        """Return a lease for an owner; if none is free, a place in the queue. ``waits_on``: None for a thread.

        Raises PoolClosed, and TooManyRequests if the queue is full.
        """
        with self._lock:
            self._counters["requests_num"] += 1
            if self.closed:
                self._counters["requests_errors"] += 1
                raise PoolClosed("The pool is closed: the application is shutting down. get_pool().open() reopens it.")
            if not self.queue and (connections := self._take()) is not None:
                lease = self._lend(connections, loop)
                lease.lend_to(owner)
                owner.leases += 1
                return lease, None
            if self._max_waiting and len(self.queue) >= self._max_waiting:
                self._counters["requests_errors"] += 1
                raise self._too_many_waiting()
            self._counters["requests_queued"] += 1
            return None, self.queue.join(waits_on)

    def leave_queue(self, waiter: Waiter[Lease]) -> int | None:
        """Remove a waiter. Return how many still wait; None if a lease was handed over at the same moment."""
        with self._lock:
            self.queue.leave(waiter)
            if not waiter.withdraw():
                return None
            self._counters["requests_errors"] += 1
            return len(self.queue)

    def take_back(self, lease: Lease) -> bool:
        """Put the lease's connections among the idle ones. False if the pool is closed: the caller closes them."""
        with self._lock:
            connections = self.lent.pop(lease, None)
            if connections is None or lease.forgotten:
                return True
            lease.ended = True
            connections.idle_since = time.monotonic()
            self._pins.unpin(lease)
            if self.closed:
                self._size -= 1
                if not self.lent:
                    self._announce_empty()
                return False
            self.idle.append(connections)
            self._serve()
            return True

    def take_orphans(self, loop: asyncio.AbstractEventLoop) -> list[Lease]:
        """Return each lease whose event loop is closed, once. ``loop`` is running."""
        if self._loop is loop and not self._serves_several:
            return []
        with self._lock:
            orphans = [lease for lease in self.lent if lease.has_lost_loop and not lease.is_orphan]
            for lease in orphans:
                lease.is_orphan = True
        return orphans

    # Closing

    def take_surplus(self, oldest_allowed: float) -> list[ConnectionSet]:
        """Remove sets that have been idle since before ``oldest_allowed``, down to ``min_size``. Locked."""
        surplus: list[ConnectionSet] = []
        while self.idle and self._size - len(surplus) > self._min_size:
            if self.idle[0].idle_since > oldest_allowed:
                break
            surplus.append(self.idle.pop(0))
        return surplus

    def has_more_than(self, number: int) -> bool:
        """Return True if there are more sets of connections. Locked."""
        return self._size > number

    def discard(self, number: int) -> None:
        """Make room for ``number`` new sets, since as many are closed now: there are never more than ``max_size``."""
        with self._lock:
            self._size -= number
            self._serve()

    def shut(self) -> tuple[list[ConnectionSet], Future[None] | None]:
        """Lend no more. Return the idle connections, and a future for the return of the last lease. Locked."""
        self.closed = True
        idle, self.idle = self.idle, []
        self._size -= len(idle)
        self.queue.fail_all(PoolClosed("The pool was closed while this call waited for a connection."))
        if not self.lent:
            return idle, None
        last_return: Future[None] = Future()
        self._emptied.append(last_return)
        return idle, last_return

    def reopen(self) -> None:
        """Undo :meth:`shut`. Locked."""
        self.closed = False
        self._announce_empty()

    # Looking

    def stats(self) -> dict[str, int]:
        """Return sizes and counters. Locked."""
        held = [*self.idle, *self.lent.values()]
        return {
            "pool_min": self._min_size,
            "pool_max": self._max_size,
            "pool_size": self._size,
            "pool_available": len(self.idle),
            "requests_waiting": len(self.queue),
            "connections_pinned": len(self._pins),
            "connections_open": sum(len(connections.open_aliases()) for connections in held),
            **self._counters,
        }

    def restart_counters(self) -> None:
        """Let all counters be 0. Locked."""
        self._counters = dict.fromkeys(_COUNTERS, 0)

    def count(self, counter: str, amount: int) -> None:
        """Add to a counter."""
        with self._lock:
            self._counters[counter] += amount

    def count_wait(self, owner: Owner, seconds: float) -> None:
        """Count a lease that was lent after a wait."""
        with self._lock:
            self._counters["requests_wait_ms"] += int(seconds * 1000)
            owner.waited += seconds
            owner.leases += 1

    def is_starved(self) -> bool:
        """Return True if all leases are pinned, and none is in use."""
        with self._lock:
            return len(self._pins) == len(self.lent) >= self._max_size and not self._pins.are_in_use()

    def holders(self) -> list[str]:
        """Return the places where the leases in use are held, with their numbers."""
        with self._lock:
            known = [lease.pinned_for or lease.origin for lease in self.lent]
        places = Counter(str(place) for place in known if place is not None)
        single = sum(place is None for place in known)
        held = [f"{place} ({count} times)" if count > 1 else place for place, count in sorted(places.items())]
        return [*held, *([f"{single} single calls"] if single else [])]

    # Locked

    def _take(self) -> ConnectionSet | None:
        if self.idle:
            return self.idle.pop()
        if self._size < self._max_size:
            self._size += 1
            return self._new_set()
        return None

    def _lend(self, connections: ConnectionSet, loop: asyncio.AbstractEventLoop | None) -> Lease:
        lease = self._new_lease(connections, loop)
        if not self.lent:
            self._serves_several = False
        elif loop is not self._loop:
            self._serves_several = True
        self._loop = loop
        self.lent[lease] = connections
        return lease

    def _serve(self) -> None:
        """Lend free connections to the first waiters."""
        while self.queue and (connections := self._take()) is not None:
            waiter = self.queue.pop()
            assert waiter is not None
            lease = self._lend(connections, waiter.loop)
            if not waiter.give(lease):  # it left at this moment
                del self.lent[lease]
                self.idle.append(connections)

    def _announce_empty(self) -> None:
        for future in self._emptied:
            future.set_result(None)
        self._emptied.clear()

    def _too_many_waiting(self) -> TooManyRequests:
        return TooManyRequests(
            f"{len(self.queue)} calls already wait for a connection (pool: {len(self.lent)} of {self._max_size} "
            "lent). Raise DAF_ORM['MAX_WAITING'] or DAF_ORM['MAX_SIZE'], or shed load earlier."
        )
