"""The connection pool: lends leases, first come, first served, and takes them back clean.

There is one per process, whatever the number of event loops. Vocabulary and statistics are psycopg_pool's. A lease
has its own thread for as long as its connections are open; a few others stop statements and close connections.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import logging
import os
import threading
import time
import weakref
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.signals import setting_changed
from django.db import InterfaceError
from django.db import connections as django_connections
from django.utils.module_loading import import_string

from daf_orm._core import finalizers
from daf_orm._core.bridge import current_bridge
from daf_orm._core.call_site import find_call_site
from daf_orm._core.locks import FifoSemaphore, Waiter, WaitQueue
from daf_orm._core.places import Places
from daf_orm._django import connections as leased_connections
from daf_orm._django.owners import owner_here
from daf_orm._leases.connection_set import ConnectionSet
from daf_orm._leases.lease import Lease
from daf_orm._leases.session import sends_unseen_statements
from daf_orm.databases import database_of
from daf_orm.databases.base import CANCEL_TIMEOUT
from daf_orm.databases.cancellation import COMMITS, cut_off
from daf_orm.exceptions import CallCancelled, PoolClosed, PoolTimeout, TooManyRequests
from daf_orm.settings import DEFAULT_MAX_SIZE, Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper

    from daf_orm._leases.owner import Owner

logger = logging.getLogger("daf_orm")
PIN_PATIENCE = 1.0
"""Seconds that all pinned connections may be idle while an owner waits to pin one: it is refused then."""
WARNING_INTERVAL = 10.0
"""Seconds between two warnings that calls wait for connections which nothing uses."""
_REMEDY = "Raise DAF_ORM['MAX_SIZE'] or shorten what holds them"
_TWO_SESSIONS = (
    "{owner} would have two sessions: it sets something on a connection of its own while another of its calls runs in "
    "which it has done so already ({origin}). Await the one before the other, or set it first, before any query."
)
_OF_A_TEST = "A test has one: start the task inside the block that holds it, or make the test transactional. Held at"


class ConnectionPool:
    """At most ``max_size`` leases, hence at most ``max_size`` connections per database alias.

    Sizes count leases; times are seconds. Source of the names: :class:`psycopg_pool.ConnectionPool`.
    """

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
        self.min_size = min_size
        self.max_size = max_size
        self.timeout = timeout
        self.max_waiting = max_waiting
        self.max_lifetime = max_lifetime
        self.max_idle = max_idle
        self.max_pinned = max_pinned or max(1, max_size - 1)
        self.max_iterating = max_iterating or max(1, max_size - 1)
        self.iterations = FifoSemaphore(self.max_iterating)
        """Places for iterations with a lease of their own, which clients may read from as slowly as they like."""
        self.keeps_first = keeps_first
        """Whether owners keep the first lease they get: ``POOL_MODE = "session"``."""
        self._configuration = configuration
        self._server_pooled = server_pooled
        self._runs_on_loop = runs_on_loop
        self._places = Places()
        self.in_test = leased_connections.in_test()
        """Whether its leases borrow a test's connections."""
        self._pid = os.getpid()
        self._lock = threading.Lock()  # held for bookkeeping only, never during I/O: event loops take it too
        self._closed = False
        self._idle: list[ConnectionSet] = []  # last in, first out: what is not needed ages at the front
        self._lent: dict[Lease, ConnectionSet] = {}
        self._size = 0  # idle, lent, or being closed
        self._queue: WaitQueue[Lease] = WaitQueue()
        self._loop: asyncio.AbstractEventLoop | None = None  # that the last lease was lent to
        self._serves_several = False  # whether the leases that are out may be those of several event loops
        self._pinned: dict[Lease, None] = {}
        self._unpinned = threading.Condition(self._lock)
        self._warned = float("-inf")  # when it was said last that calls wait for connections which nothing uses
        self._emptied: list[Future[None]] = []  # who waits in aclose() for the last lease
        self._trimmer: asyncio.AbstractEventLoop | None = None
        self._watching: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()  # for pins that nothing uses
        self._counters = _new_counters()
        self.executor = self._new_executor()

    # Lending

    async def lend(self, *, owner: Owner | None = None, timeout: float | None = None) -> Lease:
        """Lend a lease; whoever gets it must see that :meth:`finish` is called with it, once.

        ``owner`` is whose calls it is for; None: who calls.

        Waits up to ``timeout`` seconds (default: the pool's). Raises PoolTimeout, TooManyRequests or PoolClosed.
        """
        timeout = self.timeout if timeout is None else timeout
        loop = asyncio.get_running_loop()
        owner = owner or owner_here()
        with self._lock:
            self._counters["requests_num"] += 1
            self._refuse_if_closed()
            if not self._queue and (connections := self._take()) is not None:
                self._keep_trimming(loop)
                return self._new_lease(connections, loop, owner)
            waiter = self._join_queue(loop)
        started = time.monotonic()
        try:
            self._reclaim_orphans(loop)
            self._watch_pins(loop)
            lease = await waiter.wait(timeout)
        except GeneratorExit:
            self._defer_giving_back(waiter)
            raise
        except BaseException as error:  # noqa: BLE001 - raised again by _give_up, unless it was a time-out just too late
            lease = self._give_up(waiter, error, timeout)
        self._count("requests_wait_ms", int((time.monotonic() - started) * 1000))
        lease.lend_to(owner)
        return lease

    def lend_to_thread(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> Lease:
        """Lend a lease to synchronous code on a thread, which waits here. ``loop`` is the one that waits for it."""
        with self._lock:
            self._counters["requests_num"] += 1
            self._refuse_if_closed()
            if not self._queue and (connections := self._take()) is not None:
                self._keep_trimming(loop)
                return self._new_lease(connections, loop, owner)
            waiter = self._join_queue(None)
        started = time.monotonic()
        try:
            self._reclaim_orphans(loop)
            lease = self._wait_blocking(waiter)
        except BaseException as error:  # noqa: BLE001 - raised again by _give_up, unless it was a time-out just too late
            lease = self._give_up(waiter, error, self.timeout)
        self._count("requests_wait_ms", int((time.monotonic() - started) * 1000))
        lease.loop = loop
        lease.lend_to(owner)
        return lease

    def finish(self, lease: Lease, *, keeps_transactions: bool = False) -> None:
        """End a call: clean the lease's connections and take it back, unless its owner keeps it. Does I/O.

        ``keeps_transactions``: one that the call has left open makes the owner keep it.
        """
        connections = self._lent.get(lease)
        if connections is None or lease.forgotten or lease.scopes:
            return
        lease.blocks.clear()
        if self._has_to_be_kept(lease) or not connections.leave_untouched():
            is_kept = self._is_kept(lease, connections, keeps_transactions=keeps_transactions)
            if is_kept:
                return
            if not connections.clean(lease.origin or "a call", is_rested=is_kept is False):
                self._count("returns_bad", 1)
        if not self._take_back(lease):
            connections.close()
            self._end_executor()

    def put_back(self, lease: Lease) -> None:
        """Take a lease back that has not been used. Does no I/O: any thread may call it."""
        if lease.is_pinned or lease.scopes:
            return
        if lease in self._pinned and lease.connections is not None:
            lease.connections.needs_cleaning = True
        if not self._take_back(lease) and lease.connections is not None:
            self._close_elsewhere([lease.connections])
            self._end_executor()

    # Pinning

    def _has_to_be_kept(self, lease: Lease) -> bool:
        """Whether its owner keeps it, whatever its calls leave behind."""
        owner = lease.owner
        if owner is None:
            return self.keeps_first
        return self.keeps_first or owner.executor is not None or (owner.pinned is lease and lease.is_pinned)

    def _is_kept(self, lease: Lease, connections: ConnectionSet, *, keeps_transactions: bool) -> bool | None:
        """After a call: end its transaction. Return whether the owner keeps the lease; None if it cannot."""
        owner = lease.owner
        if owner is None or owner.ended or self._closed:
            return None
        healthy, stays = connections.rest(lease.origin or "a call", keeps_transactions=keeps_transactions)
        if not healthy:
            self._count("returns_bad", 1)
        stays = stays or self.keeps_first or owner.executor is not None
        if stays and not lease.is_pinned:
            stays = self._pin_late(lease, owner)
        if not stays or owner.ended:
            return False
        connections.lay_down()
        return True

    def _pin_late(self, lease: Lease, owner: Owner) -> bool:
        """Pin a lease for what a call has left behind: an open cursor or transaction, a driver's option.

        Beyond ``max_pinned`` too: what is there already can only be kept or lost.
        """
        with self._lock:
            if owner.pinned is None:
                self._pin(lease, owner)
            return owner.pinned is lease

    def keep(self, lease: Lease) -> None:
        """Pin a lease to its owner, before its session is changed. On the worker thread of its call.

        The call goes on on another lease if the owner has pinned that. Raises InterfaceError if it cannot, since it has
        begun on its own; TooManyRequests if no more may be pinned, and none of those that are is in use.
        """
        owner, deadline = lease.owner, time.monotonic() + self.timeout
        assert owner is not None
        while (other := self._pin_or_find(lease, owner, deadline)) is not None:
            if not lease.may_move():
                raise InterfaceError(_TWO_SESSIONS.format(owner=owner.name, origin=other.pinned_for))
            other.take_turn_blocking(self.timeout, lambda: lease.is_stopping)
            has_moved = False
            try:
                has_moved = self._move(lease, other)
            finally:
                if not has_moved:
                    other.turn.release()
            if has_moved:
                return

    def _move(self, lease: Lease, other: Lease) -> bool:
        """Let the call go on on its owner's other lease, whose turn it has. False if that has ended meanwhile."""
        if lease.is_stopping:
            raise CallCancelled("The task that wanted this statement has been cancelled; it was not sent.")
        if other.ended:
            return False
        if not other.can_be_joined():
            assert lease.owner is not None
            raise InterfaceError(_TWO_SESSIONS.format(owner=lease.owner.name, origin=other.pinned_for))
        leased_connections.move_hop(lease, other)
        return True

    def _pin_or_find(self, lease: Lease, owner: Owner, deadline: float) -> Lease | None:
        """Pin the lease, as soon as that is allowed. Return the other one if the owner has pinned another."""
        bridge, idle_looks = current_bridge(), 0
        while True:
            with self._unpinned:
                other: Lease | None = owner.pinned
                if other is not None and not other.ended:
                    return None if other is lease else other
                if self._may_pin(owner):
                    self._pin(lease, owner)
                    return None
                if self._closed:
                    raise PoolClosed("The pool was closed while this call waited to keep its connection.")
                # Twice in a row: where the process itself stood still for a moment, they only look idle.
                idle_looks = 0 if self._pins_are_in_use() else idle_looks + 1
                if lease.is_stopping or time.monotonic() > deadline or idle_looks > 1:
                    raise self._too_many_pinned()
                if bridge is None:
                    self._unpinned.wait(PIN_PATIENCE / 4)
            if bridge is not None:  # on the event loop, which nothing can notify without waking all of them
                bridge.wait_until_done(asyncio.sleep(PIN_PATIENCE / 10))

    def _pins_are_in_use(self) -> bool:
        now = time.monotonic()
        return any(pinned.turn.taken or now - pinned.turn.ended < PIN_PATIENCE for pinned in self._pinned)

    def _watch_pins(self, loop: asyncio.AbstractEventLoop) -> None:
        """While calls wait for a lease: say so where all are kept by owners that do nothing with them."""
        if loop not in self._watching:
            self._watching.add(loop)
            loop.call_later(PIN_PATIENCE, _look_at_pins, weakref.ref(self), loop)

    def look_at_pins(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do so, and again after a while, if calls still wait. On the event loop."""
        self._watching.discard(loop)
        if self._queue:
            self._warn_of_idle_pins()
            self._watch_pins(loop)

    def _wait_blocking(self, waiter: Waiter[Lease]) -> Lease:
        deadline = time.monotonic() + self.timeout
        while (left := deadline - time.monotonic()) > PIN_PATIENCE:
            with contextlib.suppress(TimeoutError):
                return waiter.wait_blocking(PIN_PATIENCE)
            self._warn_of_idle_pins()
        return waiter.wait_blocking(max(left, 0.0))

    def _warn_of_idle_pins(self) -> None:
        now = time.monotonic()
        with self._lock:
            is_stuck = len(self._pinned) == len(self._lent) >= self.max_size and not self._pins_are_in_use()
            if not is_stuck or now - self._warned < WARNING_INTERVAL:
                return
            self._warned = now
            waiting = len(self._queue)
        logger.warning(
            "%d calls wait for a connection, and all %d are kept by owners that do nothing with them: %s. If those "
            "wait for one of the calls, all wait until DAF_ORM['TIMEOUT']. Raise MAX_SIZE above the number of requests "
            "that keep one, or set what they need by DAF_ORM['CONFIGURE'].",
            waiting,
            self.max_size,
            self._name_holders(),
        )

    def share(self, lease: Lease, owner: Owner) -> None:
        """Let all calls of an owner run on a lease that an iteration of its own holds, driven by other tasks."""
        with self._lock:
            if owner.pinned is None and self._may_pin(owner):
                self._pin(lease, owner)

    def too_many_iterations(self, timeout: float) -> PoolTimeout:
        """Return the error for an iteration that has waited too long for others to end."""
        return PoolTimeout(
            f"{self.max_iterating} iterations hold a connection each, and no other ended within {timeout} s "
            f"(DAF_ORM['MAX_ITERATING'], of MAX_SIZE {self.max_size}): {self._name_holders()}. Load the rows of short "
            "results at once, read from slow clients less at a time, or raise both."
        )

    def _may_pin(self, owner: Owner) -> bool:
        return self.keeps_first or owner.executor is not None or len(self._pinned) < self.max_pinned

    def _pin(self, lease: Lease, owner: Owner) -> None:
        self._pinned[lease] = None
        owner.pinned, owner.was_pinned = lease, True
        lease.pinned_for = f"{owner.name} keeps it since {find_call_site()}"
        lease.close_gate()
        leased_connections.end_with_task(owner)

    def _too_many_pinned(self) -> TooManyRequests:
        held = "; ".join(lease.pinned_for for lease in self._pinned)
        return TooManyRequests(
            f"{len(self._pinned)} owners keep the connection on which they have set something, and no more may "
            f"(DAF_ORM['MAX_PINNED'] is {self.max_pinned}, of MAX_SIZE {self.max_size}): {held}. Set it by "
            "DAF_ORM['CONFIGURE'] or in a transaction by SET LOCAL, which keep no connection, or raise MAX_SIZE."
        )

    def _unpin(self, lease: Lease) -> None:
        """Under the lock: let another owner pin instead."""
        if lease in self._pinned:
            del self._pinned[lease]
            if lease.owner is not None and lease.owner.pinned is lease:
                lease.owner.pinned = None
            self._unpinned.notify_all()

    def end(self, lease: Lease) -> Future[None]:
        """Take a pinned lease back, whose owner has ended: as soon as no call runs on it, or with its last scope."""
        done: Future[None] = Future()

        def finish() -> None:
            try:
                leased_connections.run_on_lease(lease, lambda: self.finish(lease))
            finally:
                lease.turn.release()
                done.set_result(None)

        lease.turn.when_free(lambda: self._submit(finish, lease))
        return done

    def _submit(self, func: Callable[[], None], lease: Lease) -> None:
        try:
            (lease.executor if lease.has_own_thread else self.executor).submit(func)
        except RuntimeError:  # closed and shut down
            threading.Thread(target=func, name="daf_orm-end").start()

    def _finish_orphan(self, lease: Lease) -> None:
        for scope in tuple(lease.scopes):
            scope.leave_share()
            lease.leave_gate(scope)
        lease.scopes.clear()
        if lease.owner is not None:
            lease.owner.end()
        leased_connections.run_on_lease(lease, lambda: self.finish(lease))
        lease.turn.release()

    # Looking

    def get_stats(self) -> dict[str, int]:
        """Return current figures and counters; the keys are psycopg_pool's, plus ``connections_open``."""
        with self._lock:
            return self._stats()

    def pop_stats(self) -> dict[str, int]:
        """Return the same as :meth:`get_stats` and start the counters again from 0."""
        with self._lock:
            stats = self._stats()
            self._counters = _new_counters()
            return stats

    @property
    def closed(self) -> bool:
        """Whether the pool lends no more."""
        return self._closed

    # Closing

    async def aclose(self, timeout: float | None = 5.0) -> None:
        """Lend no more, let waiters raise PoolClosed, wait for the leases that are out, close every connection.

        After ``timeout`` seconds (None: no limit) it gives up waiting, says who still holds a lease, and returns; those
        leases are closed when they end. A COMMIT that its server has not answered by then is cut off, and named.
        """
        idle, last_return = self._shut()
        await asyncio.shield(asyncio.wrap_future(self._close_elsewhere(idle)))
        if last_return is not None:
            try:
                async with asyncio.timeout(timeout):
                    await asyncio.shield(asyncio.wrap_future(last_return))
            except TimeoutError:
                self.cut_off_commits()
                logger.warning("The pool was closed with leases still held: %s.", self._name_holders())
        self._end_executor()

    def close(self) -> None:
        """Do the same from synchronous code, without waiting for leases that are out."""
        idle, _ = self._shut()
        if leased_connections.on_event_loop():
            self._close_elsewhere(idle)
        else:
            _close_all(idle)
        self._end_executor()

    def cut_off_commits(self, patience: float | None = None) -> int:
        """Cut off each COMMIT that was sent ``patience`` seconds ago (None: 5) and is not answered; log whose it is.

        Whether it has taken effect is not known: the server may have got it. Without this nothing could end the process
        in order. Return how many there were. Does not block.
        """
        patience = CANCEL_TIMEOUT if patience is None else patience
        before = time.monotonic() - patience
        with self._lock:
            late = [lease for lease in self._lent if lease.committing_before(before) is not None]
        cut = []
        for lease in late:
            with COMMITS:
                if (wrapper := lease.committing_before(before)) is None:  # it has ended meanwhile
                    continue
                cut.append((lease, wrapper.alias))
                cut_off(wrapper)
        for lease, alias in cut:
            logger.error(
                "The COMMIT of %s on %r was sent and not answered for %s s, and is cut off as the process ends: "
                "whether its rows are kept is in doubt. Look for them before you repeat it.",
                lease.origin or (lease.owner and lease.owner.name) or "a call",
                alias,
                patience,
            )
        return len(cut)

    def open(self) -> None:
        """Lend again after :meth:`aclose`, as an application does that is started twice in one process."""
        with self._lock:
            if self._closed:
                self._closed = False
                for future in self._emptied:
                    future.set_result(None)
                self._emptied.clear()
                if self._executor_ended:
                    self.executor = self._new_executor()

    # Under the lock

    def _refuse_if_closed(self) -> None:
        if self._closed:
            self._counters["requests_errors"] += 1
            raise PoolClosed("The pool is closed: the application is shutting down. get_pool().open() reopens it.")

    def _take(self) -> ConnectionSet | None:
        if self._idle:
            return self._idle.pop()
        if self._size < self.max_size:
            self._size += 1
            return ConnectionSet(
                max_lifetime=self.max_lifetime,
                max_idle=self.max_idle,
                configuration=self._configuration,
                server_pooled=self._server_pooled,
                places=self._places,
            )
        return None

    def _new_lease(
        self, connections: ConnectionSet, loop: asyncio.AbstractEventLoop | None, owner: Owner | None = None
    ) -> Lease:
        lease = Lease(connections, connections.thread, loop, self, runs_on_loop=self._runs_on_loop)
        if owner is not None:
            lease.lend_to(owner)
        if not self._lent:
            self._serves_several = False
        elif loop is not self._loop:
            self._serves_several = True
        self._loop = loop
        self._lent[lease] = connections
        return lease

    def _join_queue(self, loop: asyncio.AbstractEventLoop | None) -> Waiter[Lease]:
        if self.max_waiting and len(self._queue) >= self.max_waiting:
            self._counters["requests_errors"] += 1
            message = (
                f"{len(self._queue)} calls already wait for a connection (pool: {len(self._lent)} of {self.max_size} "
                "lent). Raise DAF_ORM['MAX_WAITING'] or DAF_ORM['MAX_SIZE'], or shed load earlier."
            )
            raise TooManyRequests(message)
        self._counters["requests_queued"] += 1
        return self._queue.join(loop)

    def _serve(self) -> None:
        """Lend to the first waiters what has become free."""
        while self._queue and (connections := self._take()) is not None:
            waiter = self._queue.pop()
            assert waiter is not None
            lease = self._new_lease(connections, waiter.loop)
            if not waiter.give(lease):  # it left at this moment
                del self._lent[lease]
                self._idle.append(connections)

    def _stats(self) -> dict[str, int]:
        held = [*self._idle, *self._lent.values()]
        return {
            "pool_min": self.min_size,
            "pool_max": self.max_size,
            "pool_size": self._size,
            "pool_available": len(self._idle),
            "requests_waiting": len(self._queue),
            "connections_pinned": len(self._pinned),
            "connections_open": sum(len(connections.open_aliases()) for connections in held),
            **self._counters,
        }

    # Without the lock

    def _take_back(self, lease: Lease) -> bool:
        """Put the lease's connections among the idle ones. False if the pool is closed: close them instead."""
        with self._lock:
            connections = self._lent.pop(lease, None)
            if connections is None or lease.forgotten:
                return True
            lease.ended = True
            connections.idle_since = time.monotonic()
            self._unpin(lease)
            if self._closed:
                self._size -= 1
                self._tell_if_empty()
                return False
            self._idle.append(connections)
            self._serve()
            return True

    def _tell_if_empty(self) -> None:
        if not self._lent:
            for future in self._emptied:
                future.set_result(None)
            self._emptied.clear()

    def _end_executor(self) -> None:
        """Let the worker threads end, once no lease needs them; unless the pool has been opened again meanwhile."""
        with self._lock:
            if self._closed and not self._lent:
                self._executor_ended = True
                self.executor.shutdown(wait=False)

    def _give_up(self, waiter: Waiter[Lease], error: BaseException, timeout: float) -> Lease:
        """A wait has failed: leave the queue, unless a lease was handed over at the same moment."""
        with self._lock:
            self._queue.leave(waiter)
            if waiter.withdraw():
                self._counters["requests_errors"] += 1
                waiting = len(self._queue)
            else:
                waiting = -1
        if waiting < 0 and (lease := waiter.item()) is not None:
            if isinstance(error, TimeoutError):
                return lease
            self.put_back(lease)
        if isinstance(error, TimeoutError):
            message = (
                f"No connection became free within {timeout} s (pool: {len(self._lent)} of {self.max_size} lent, "
                f"{waiting} more waiting). {_OF_A_TEST if self.in_test else _REMEDY}: {self._name_holders()}."
            )
            raise PoolTimeout(message) from error
        raise error

    def _defer_giving_back(self, waiter: Waiter[Lease]) -> None:
        """A finalizer's way to give up: no lock. The queue passes over a waiter that has withdrawn."""
        if not waiter.withdraw():
            finalizers.defer(lambda: self._put_back_from(waiter))

    def _put_back_from(self, waiter: Waiter[Lease]) -> None:
        if (lease := waiter.item()) is not None:
            self.put_back(lease)

    def holders(self) -> list[str]:
        """Say who holds the leases that are out."""
        with self._lock:
            known = [lease.pinned_for or lease.origin for lease in self._lent]
            places = Counter(str(place) for place in known if place is not None)
            single = sum(place is None for place in known)
        held = [f"{place} ({count} times)" if count > 1 else place for place, count in sorted(places.items())]
        return [*held, *([f"{single} single calls"] if single else [])]

    def _name_holders(self) -> str:
        return ", ".join(self.holders()) or "nobody by now"

    def _reclaim_orphans(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take back the leases of event loops that were closed without ending their tasks. ``loop`` is running."""
        if self._loop is loop and not self._serves_several:
            return
        with self._lock:
            orphans = [lease for lease in self._lent if lease.has_lost_loop and not lease.is_orphan]
            for lease in orphans:
                lease.is_orphan = True
        for lease in orphans:  # a statement that still runs on one is waited for, if a thread waits for it
            if lease.running is not None:
                lease.running()
            if lease.scopes:
                logger.error(
                    "The event loop that held a lease for %s is closed; its work is rolled back.", lease.origin
                )
            lease.turn.when_free(functools.partial(self._submit, functools.partial(self._finish_orphan, lease), lease))

    def _keep_trimming(self, loop: asyncio.AbstractEventLoop) -> None:
        """See that idle connections are closed in time, for as long as some event loop runs."""
        if self._trimmer is None or self._trimmer.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop is closed
                # From a thread too. A weak reference: a pool that was replaced may go.
                loop.call_soon_threadsafe(loop.call_later, self.max_idle / 2, _trim, weakref.ref(self))
                self._trimmer = loop

    def trim(self) -> None:
        """Close connections that have been idle for too long. On an event loop."""
        oldest_allowed = time.monotonic() - self.max_idle
        with self._lock:
            self._trimmer = None
            if self._closed:
                return
            surplus: list[ConnectionSet] = []
            while self._idle and self._size - len(surplus) > self.min_size:
                if self._idle[0].idle_since > oldest_allowed:
                    break
                surplus.append(self._idle.pop(0))
            if self._size > len(surplus):
                self._keep_trimming(asyncio.get_running_loop())
        if surplus:
            self.executor.submit(self._discard, surplus)

    def _discard(self, surplus: list[ConnectionSet]) -> None:
        _close_all(surplus)
        with self._lock:  # only now is there room for others: connections never exceed max_size
            self._size -= len(surplus)
            self._serve()

    def _shut(self) -> tuple[list[ConnectionSet], Future[None] | None]:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            self._size -= len(idle)
            closed = PoolClosed("The pool was closed while this call waited for a connection.")
            self._queue.fail_all(closed)
            self.iterations.fail_all(closed)
            self._unpinned.notify_all()
            if not self._lent:
                return idle, None
            last_return: Future[None] = Future()
            self._emptied.append(last_return)
            return idle, last_return

    def _close_elsewhere(self, sets: list[ConnectionSet]) -> Future[None]:
        """Close connections on a worker thread: closing is I/O, and Django refuses it on an event loop's thread."""
        try:
            return self.executor.submit(_close_all, sets)
        except RuntimeError:  # closed and shut down before
            done: Future[None] = Future()
            threading.Thread(target=_close_all, args=(sets,), name="daf_orm-close").start()
            done.set_result(None)
            return done

    def _count(self, counter: str, amount: int) -> None:
        with self._lock:
            self._counters[counter] += amount

    def count_lost(self, number: int) -> None:
        """Count connections that the server had closed while they were idle."""
        if number:
            self._count("connections_lost", number)

    def _new_executor(self) -> ThreadPoolExecutor:
        # Each lease's call may have to be stopped, from a thread other than its own.
        self._executor_ended = False
        return ThreadPoolExecutor(self.max_size + 1, thread_name_prefix="daf_orm")

    def forget(self) -> None:
        """In the child of a fork: let go of everything without touching the parent's sockets."""
        for lease in self._lent:
            lease.forgotten = True
            if lease.owner is not None:
                lease.owner.pinned = None
        for connections in self._idle:
            connections.leave_to_parent()
        _inherited.append((self._idle, self._lent, self.executor))


def _trim(reference: weakref.ref[ConnectionPool]) -> None:
    if (pool := reference()) is not None:
        pool.trim()


def _look_at_pins(reference: weakref.ref[ConnectionPool], loop: asyncio.AbstractEventLoop) -> None:
    if (pool := reference()) is not None:
        pool.look_at_pins(loop)


def _close_all(sets: list[ConnectionSet]) -> None:
    for connections in sets:
        connections.close()


def _new_counters() -> dict[str, int]:
    return dict.fromkeys(
        (
            "requests_num",
            "requests_queued",
            "requests_wait_ms",
            "requests_errors",
            "returns_bad",
            "connections_lost",
        ),
        0,
    )


_inherited: list[Any] = []  # kept alive on purpose: finalizers would say goodbye on the parent process's sockets
_pool: ConnectionPool | None = None
_pool_lock = threading.Lock()


def _lend_to_thread(owner: Owner, loop: asyncio.AbstractEventLoop) -> Lease:
    with leased_connections.outside_hops():  # the pool that may have to be made asks for the thread's own connections
        pool = get_pool()
    return pool.lend_to_thread(owner, loop)


leased_connections.lend_to_thread = _lend_to_thread


def get_pool() -> ConnectionPool:
    """Return the process's pool, made from ``DAF_ORM`` at the first call."""
    global _pool  # noqa: PLW0603 - one pool per process is the design
    pool = _pool
    if pool is not None and pool.in_test == leased_connections.in_test():
        return pool
    with _pool_lock:
        if _pool is not None and _pool.in_test != leased_connections.in_test():
            _pool.close()
            _pool = None
        if _pool is None:
            if apps.ready and not apps.is_installed("daf_orm"):
                logger.warning(
                    '"daf_orm" is not in INSTALLED_APPS: Django\'s own a… methods stay as they are, and '
                    "nothing checks the DAF_ORM setting."
                )
            leased_connections.activate()
            setting_changed.connect(_reset_on_change, dispatch_uid="daf_orm._pool.pool")
            _pool = _from_settings(get_settings())
        return _pool


def _from_settings(settings: Settings) -> ConnectionPool:
    return ConnectionPool(
        min_size=min(settings.MIN_SIZE, effective_max_size(settings)),
        max_size=effective_max_size(settings),
        timeout=settings.TIMEOUT,
        max_waiting=settings.MAX_WAITING,
        max_lifetime=settings.MAX_LIFETIME,
        max_idle=settings.MAX_IDLE,
        max_pinned=settings.MAX_PINNED,
        max_iterating=settings.MAX_ITERATING,
        keeps_first=settings.POOL_MODE == "session"
        or any(map(sends_unseen_statements, map(_wrapper, django_connections))),
        configuration=import_string(settings.CONFIGURE) if settings.CONFIGURE else None,
        server_pooled=settings.SERVER_POOLED,
        runs_on_loop=all(_runs_on_event_loop(_wrapper(alias)) for alias in django_connections),
    )


def effective_max_size(settings: Settings) -> int:
    """Return the number of leases: 1 in a test or where an alias is in-memory SQLite, which have one connection."""
    if leased_connections.in_test() or memory_aliases():
        return 1
    return settings.MAX_SIZE or DEFAULT_MAX_SIZE


def _runs_on_event_loop(wrapper: BaseDatabaseWrapper) -> bool:
    """Whether a connection can wait on an event loop. Those of ``OPTIONS["pool"]`` are psycopg's own."""
    return getattr(wrapper, "runs_on_event_loop", False) and not wrapper.settings_dict["OPTIONS"].get("pool")


def _wrapper(alias: str) -> BaseDatabaseWrapper:
    return django_connections[alias]


def memory_aliases() -> list[str]:
    """Return the aliases that are in-memory SQLite."""
    return [alias for alias in django_connections if _has_it_alone(django_connections[alias])]


def _has_it_alone(wrapper: BaseDatabaseWrapper) -> bool:
    return database_of(wrapper).has_it_alone(wrapper)


def current_pool() -> ConnectionPool | None:
    """Return the process's pool, if there is one yet."""
    return _pool


def reset_pool() -> None:
    """Close the pool, if there is one; the next call makes a new one from the settings then in force."""
    global _pool
    with _pool_lock:
        pool, _pool = _pool, None
    if pool is not None:
        pool.close()


def _reset_on_change(*, setting: str, **_: object) -> None:
    if setting in {"DAF_ORM", "DATABASES"}:
        reset_pool()


def _close_at_exit() -> None:
    if _pool is not None:
        _pool.close()


def _forget_after_fork() -> None:
    global _pool, _pool_lock
    leased_connections.forget_hops()
    if _pool is not None:
        _pool.forget()
    _pool, _pool_lock = None, threading.Lock()  # the lock may have been held in the parent


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
