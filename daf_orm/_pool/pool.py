"""The connection pool: lends leases, first come, first served, and cleans them when they are returned.

There is one per process, whatever the number of event loops. Vocabulary and statistics are psycopg_pool's. A lease
has its own thread for as long as its connections are open; a few others stop statements and close connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from daf_orm._core import finalizers
from daf_orm._core.locks import FifoSemaphore
from daf_orm._django import hops, shared_connections
from daf_orm._django.owners import owner_here
from daf_orm._leases.connection_set import ConnectionSet
from daf_orm._leases.lease import Lease
from daf_orm._pool.commits import cut_off_commits
from daf_orm._pool.making import lease_maker, set_maker
from daf_orm._pool.orphans import reclaim
from daf_orm._pool.pins import PIN_PATIENCE, Pins
from daf_orm._pool.starvation import StarvationWatch
from daf_orm._pool.stock import Stock
from daf_orm._pool.threads import PoolThreads, close_all
from daf_orm._pool.trimming import Trimmer
from daf_orm.exceptions import PoolClosed, PoolTimeout
from daf_orm.settings import DEFAULT_MAX_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import ThreadPoolExecutor

    from daf_orm._core.locks import Waiter
    from daf_orm._leases.owner import Owner

logger = logging.getLogger("daf_orm")
_REMEDY = "Raise DAF_ORM['MAX_SIZE'] or shorten the calls that hold them"
_OF_A_TEST = "A test has one: start the task inside the block that holds it, or make the test transactional. Held at"


class ConnectionPool:
    """At most ``max_size`` leases, hence at most ``max_size`` connections per database alias.

    Sizes count leases; times are seconds. Source of the names: :class:`psycopg_pool.ConnectionPool`.
    """

    iterations: FifoSemaphore
    """Slots for iterations on a separate lease, which may last as long as a slow client reads."""
    keeps_first: bool
    """True if owners keep the first lease they get: ``POOL_MODE = "session"``."""
    in_test: bool
    """True if its leases borrow a test's connections."""

    def __init__(  # noqa: PLR0913 - one for each setting
        self,
        *,
        min_size: int = 0,
        max_size: int = DEFAULT_MAX_SIZE,
        timeout: float = 30.0,
        max_waiting: int = 0,
        max_lifetime: float = 3600.0,
        max_idle: float = 600.0,
        max_pinned: int | None = None,
        max_iterating: int | None = None,
        keeps_first: bool = False,
        configuration: Callable[[], Mapping[str, Any]] | None = None,
        server_pooled: bool = False,
        runs_on_loop: bool = False,
    ) -> None:
        if not 0 <= min_size <= max_size or max_size < 1:
            raise ValueError(f"max_size must be at least 1 and min_size, got {min_size=} and {max_size=}.")
        self.max_size = max_size
        self.timeout = timeout
        self.max_iterating = max_iterating or max(1, max_size - 1)
        self.iterations = FifoSemaphore(self.max_iterating)
        self.keeps_first = keeps_first
        self.in_test = shared_connections.in_test()
        self._lock = threading.Lock()  # held for bookkeeping only, never during I/O: event loops take it too
        self._pins = Pins(
            self._lock, max_size=max_size, max_pinned=max_pinned, timeout=timeout, keeps_first=keeps_first
        )
        self._stock = Stock(
            self._lock,
            self._pins,
            min_size=min_size,
            max_size=max_size,
            max_waiting=max_waiting,
            new_set=set_maker(max_lifetime, max_idle, configuration, server_pooled=server_pooled),
            new_lease=lease_maker(self, runs_on_loop=runs_on_loop),
        )
        self._starvation = StarvationWatch(self)
        self._threads = PoolThreads(max_size)
        self._trimmer = Trimmer(self._lock, self._stock, self._threads, max_idle=max_idle)

    @property
    def executor(self) -> ThreadPoolExecutor:
        """Threads that always have room for a call on each lease."""
        return self._threads.executor

    # Lending

    async def lend(self, *, owner: Owner | None = None, timeout: float | None = None) -> Lease:
        """Lend a lease, with which :meth:`finish` must be called once. ``owner``: None for the caller's.

        Waits up to ``timeout`` seconds (default: the pool's). Raises PoolTimeout, TooManyRequests or PoolClosed.
        """
        loop = asyncio.get_running_loop()
        owner = owner or owner_here()
        lease, waiter = self._stock.lend_or_join(owner, loop, loop)
        if lease is not None:
            self._trimmer.start(loop)
            return lease
        assert waiter is not None
        timeout = self.timeout if timeout is None else timeout
        started = time.monotonic()
        try:
            reclaim(self._stock.take_orphans(loop), self.finish, self._threads.submit)
            self._starvation.start(loop)
            lease = await waiter.wait(timeout)
        except GeneratorExit:
            self._defer_giving_back(waiter)
            raise
        except BaseException as error:  # noqa: BLE001 - raised again by _give_up, unless it was a time-out just too late
            lease = self._give_up(waiter, error, timeout)
        self._stock.count_wait(owner, time.monotonic() - started)
        lease.lend_to(owner)
        return lease

    def lend_to_thread(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> Lease:
        """Lend a lease to synchronous code on a thread, which blocks here. ``loop`` is the one that waits for it."""
        lease, waiter = self._stock.lend_or_join(owner, loop, None)
        if lease is not None:
            self._trimmer.start(loop)
            return lease
        assert waiter is not None
        started = time.monotonic()
        try:
            reclaim(self._stock.take_orphans(loop), self.finish, self._threads.submit)
            lease = self._wait_blocking(waiter)
        except BaseException as error:  # noqa: BLE001 - raised again by _give_up, unless it was a time-out just too late
            lease = self._give_up(waiter, error, self.timeout)
        self._stock.count_wait(owner, time.monotonic() - started)
        lease.loop = loop
        lease.lend_to(owner)
        return lease

    def finish(self, lease: Lease, *, keeps_transactions: bool = False) -> None:
        """End a call: clean the lease's connections and take it back, unless its owner keeps it. Does I/O.

        ``keeps_transactions``: a transaction that the call has left open makes the owner keep the lease.
        """
        connections = self._stock.lent.get(lease)
        if connections is None or lease.forgotten or lease.scopes:
            return
        lease.blocks.clear()
        if self._has_to_be_kept(lease) or not connections.leave_untouched():
            is_kept = self._is_kept(lease, connections, keeps_transactions=keeps_transactions)
            if is_kept:
                return
            self._stock.count("returns_cleaned", 1)
            if not connections.clean(lease.origin or "a call", is_rested=is_kept is False):
                self._stock.count("returns_bad", 1)
        if not self._stock.take_back(lease):
            connections.close()
            self._end_threads()

    def put_back(self, lease: Lease) -> None:
        """Take back a lease that has not been used. Does no I/O: any thread may call it."""
        if lease.is_pinned or lease.scopes:
            return
        if lease in self._pins and lease.connections is not None:
            lease.connections.needs_cleaning = True
        if not self._stock.take_back(lease) and lease.connections is not None:
            self._threads.close([lease.connections])
            self._end_threads()

    def end(self, lease: Lease) -> Future[None]:
        """Take back a pinned lease whose owner has ended: as soon as no call runs on it, or with its last scope."""
        done: Future[None] = Future()

        def finish() -> None:
            try:
                hops.run_on_lease(lease, lambda: self.finish(lease))
            finally:
                lease.turn.release()
                done.set_result(None)

        lease.turn.when_free(lambda: self._threads.submit(finish, lease))
        return done

    # Pinning

    def keep(self, lease: Lease) -> None:
        """Pin a lease to its owner, before its session is changed: see :meth:`Pins.keep`. On its worker thread."""
        self._pins.keep(lease)

    def share(self, lease: Lease, owner: Owner) -> None:
        """Let all calls of an owner run on a lease that its iteration holds, though other tasks drive that."""
        self._pins.share(lease, owner)

    def _has_to_be_kept(self, lease: Lease) -> bool:
        """Return True if its owner keeps it, whatever state its calls leave."""
        owner = lease.owner
        if owner is None:
            return self.keeps_first
        return self.keeps_first or owner.executor is not None or (owner.pinned is lease and lease.is_pinned)

    def _is_kept(self, lease: Lease, connections: ConnectionSet, *, keeps_transactions: bool) -> bool | None:
        """End a call's transaction. Return True if the owner keeps the lease, False if it does not.

        Return None, and do nothing, if the owner has ended or the pool is closed.
        """
        owner = lease.owner
        if owner is None or owner.ended or self.closed:
            return None
        healthy, stays = connections.rest(lease.origin or "a call", keeps_transactions=keeps_transactions)
        if not healthy:
            self._stock.count("returns_bad", 1)
        stays = stays or self.keeps_first or owner.executor is not None
        if stays and not lease.is_pinned:
            stays = self._pins.keep_late(lease, owner)
        if not stays or owner.ended:
            return False
        connections.lay_down()
        return True

    # Looking

    def get_stats(self) -> dict[str, int]:
        """Return current figures and counters; the keys are psycopg_pool's, and some of DAF's."""
        with self._lock:
            return self._stock.stats()

    def pop_stats(self) -> dict[str, int]:
        """Return the same as :meth:`get_stats` and start the counters again from 0."""
        with self._lock:
            stats = self._stock.stats()
            self._stock.restart_counters()
            return stats

    @property
    def closed(self) -> bool:
        """True if the pool lends no more."""
        return self._stock.closed

    @property
    def waiting(self) -> int:
        """Number of calls that wait for a lease."""
        return len(self._stock.queue)

    def is_starved(self) -> bool:
        """Return True if all leases are pinned, and none is in use."""
        return self._stock.is_starved()

    def holders(self) -> list[str]:
        """Return the places where the leases in use are held."""
        return self._stock.holders()

    def name_holders(self) -> str:
        """Return the places where the leases in use are held, as one text for messages."""
        return ", ".join(self._stock.holders()) or "none is held by now"

    def too_many_iterations(self, timeout: float) -> PoolTimeout:
        """Return the error for an iteration that has waited too long for others to end."""
        return PoolTimeout(
            f"{self.max_iterating} iterations hold a connection each, and no other ended within {timeout} s "
            f"(DAF_ORM['MAX_ITERATING'], of MAX_SIZE {self.max_size}): {self.name_holders()}. Load the rows of short "
            "results at once, send slow clients less at a time, or raise both."
        )

    def count_lost(self, number: int) -> None:
        """Count connections that the server had closed while they were idle."""
        if number:
            self._stock.count("connections_lost", number)

    # Closing

    async def aclose(self, timeout: float | None = 5.0) -> None:
        """Lend no more, let waiters raise PoolClosed, wait for the leases in use, close every connection.

        After ``timeout`` seconds (None: no limit) it stops waiting, logs where leases are still held, and returns;
        those are closed when they end. A COMMIT that its server has not answered by then is cut off, and logged.
        """
        idle, last_return = self._shut()
        await asyncio.shield(asyncio.wrap_future(self._threads.close(idle)))
        if last_return is not None:
            try:
                async with asyncio.timeout(timeout):
                    await asyncio.shield(asyncio.wrap_future(last_return))
            except TimeoutError:
                self.cut_off_commits()
                logger.warning("The pool was closed with leases still held: %s.", self.name_holders())
        self._end_threads()

    def close(self) -> None:
        """Close the pool from synchronous code, without waiting for the leases in use."""
        idle, _ = self._shut()
        if hops.on_event_loop():
            self._threads.close(idle)
        else:
            close_all(idle)
        self._end_threads()

    def cut_off_commits(self, patience: float | None = None) -> int:
        """Cut off each COMMIT that was sent ``patience`` seconds ago (None: 5) and is not answered. Does not block.

        Return their number. Each is logged, because it may or may not have taken effect.
        """
        with self._lock:
            lent = tuple(self._stock.lent)
        return cut_off_commits(lent, patience)

    def open(self) -> None:
        """Lend again after :meth:`aclose`, for an application that is started twice in one process."""
        with self._lock:
            if self.closed:
                self._pins.closed = False
                self._stock.reopen()
                self._threads.restart()

    def forget(self) -> None:
        """Forget all leases in the child of a fork, without touching the parent's sockets."""
        stock = self._stock
        for lease in stock.lent:
            lease.forgotten = True
            if lease.owner is not None:
                lease.owner.pinned = None
        for connections in stock.idle:
            connections.leave_to_parent()
        _inherited.append((stock.idle, stock.lent, self.executor))

    def _shut(self) -> tuple[list[ConnectionSet], Future[None] | None]:
        with self._lock:
            self.iterations.fail_all(PoolClosed("The pool was closed while this iteration waited for a connection."))
            self._pins.close()
            return self._stock.shut()

    def _end_threads(self) -> None:
        """Let the threads end, once no lease needs them; unless the pool has been opened again meanwhile."""
        with self._lock:
            if self.closed and not self._stock.lent:
                self._threads.end()

    # Waiting

    def _wait_blocking(self, waiter: Waiter[Lease]) -> Lease:
        deadline = time.monotonic() + self.timeout
        while (left := deadline - time.monotonic()) > PIN_PATIENCE:
            with contextlib.suppress(TimeoutError):
                return waiter.wait_blocking(PIN_PATIENCE)
            self._starvation.warn()
        return waiter.wait_blocking(max(left, 0.0))

    def _give_up(self, waiter: Waiter[Lease], error: BaseException, timeout: float) -> Lease:
        """Leave the queue after a failed wait, unless a lease was handed over at the same moment."""
        waiting = self._stock.leave_queue(waiter)
        if waiting is None and (lease := waiter.item()) is not None:
            if isinstance(error, TimeoutError):
                return lease
            self.put_back(lease)
        if isinstance(error, TimeoutError):
            message = (
                f"No connection became free within {timeout} s (pool: {len(self._stock.lent)} of {self.max_size} lent, "
                f"{waiting or 0} more waiting). {_OF_A_TEST if self.in_test else _REMEDY}: {self.name_holders()}."
            )
            raise PoolTimeout(message) from error
        raise error

    def _defer_giving_back(self, waiter: Waiter[Lease]) -> None:
        """Give up from a finalizer, which takes no lock. The queue passes over a waiter that has withdrawn."""
        if not waiter.withdraw():
            finalizers.defer(lambda: self._put_back_from(waiter))

    def _put_back_from(self, waiter: Waiter[Lease]) -> None:
        if (lease := waiter.item()) is not None:
            self.put_back(lease)


_inherited: list[Any] = []  # kept alive on purpose: finalizers would send goodbyes on the parent process's sockets
