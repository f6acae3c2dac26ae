"""A *hop*: one run of synchronous code that asgiref moved to this thread.

The lease in the context applies only inside a hop. A thread that merely inherited the context
(``thread_inherit_context``, Python 3.14) was not handed the lease, and an event loop's thread must not query at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from daf_orm._core import bridge as bridges
from daf_orm._core.bridge import identify
from daf_orm._django import owners
from daf_orm._django.shared_connections import test_turn
from daf_orm._django.sync_parents import PARENT_LEASE, end_left_calls, executor_above, is_sync_parent
from daf_orm._leases import reset
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daf_orm._core.bridge import Bridge
    from daf_orm._core.locks import FifoLock
    from daf_orm._leases.guest import Guest
    from daf_orm._leases.lease import Lease
    from daf_orm._leases.owner import Owner

T = TypeVar("T")
logger = logging.getLogger("daf_orm")


class _ThreadState(threading.local):
    """State of this thread."""

    hop: Hop | None = None
    """The hop that it is in."""
    is_outside = False
    """True while the thread's own connections are used, whatever hop it is in."""


thread_state = _ThreadState()
_borrowed: dict[int | None, Lease] = {}
"""The leases that hops of foreign code have taken, by thread."""
lend_to_thread: Callable[[Owner, asyncio.AbstractEventLoop], Lease] | None = None
"""Lends a lease to synchronous code on a thread. The pool, which imports this module, sets it."""


class Hop:
    """One run of synchronous code on this thread. Hops nest where sync code waits for async code that hops back."""

    serves_parent = False
    """True if the thread is a sync parent's, which closes its own connections."""
    lease: Lease | None = None
    task: asyncio.Task[Any] | None = None
    has_test_turn = False
    """Of the outermost hop: True if it has the turn on the connections of a test."""
    loop: asyncio.AbstractEventLoop | None = None
    borrowed: Lease | None = None
    """Of the outermost hop, if it had no lease: the one that it has taken for its queries."""
    moved_from: Lease | None = None
    """The lease that the call was begun on, if it had to go on on another."""
    _guests: dict[str, Guest] | None = None
    _owner: Owner | None = None
    _holds_turn = False
    _has_borrowed_turn = False
    _is_guest = False
    _caller_turn: FifoLock | None = None

    def __init__(self, outer: Hop | None) -> None:
        self.outer = outer

    @property
    def outermost(self) -> Hop:
        """The hop that the thread began with."""
        hop = self
        while hop.outer is not None:
            hop = hop.outer
        return hop

    @property
    def owner(self) -> Owner:
        """The owner of the hop's call."""
        if self._owner is None or self._owner.ended:
            self._owner = owners.owner_here(self.task)
        return self._owner

    def held(self, alias: str) -> Guest | None:
        """Return the wrapper that code of this hop has got before it had a lease."""
        return None if self._guests is None else self._guests.get(alias)

    def guest(self, alias: str) -> Guest | None:
        """Return the owner's wrapper that this hop has, which gets a connection at its first query."""
        if self._guests is not None and (guest := self._guests.get(alias)) is not None:
            return guest
        return None if (guest := self.owner.guest(alias)) is None else self.have(guest)

    def have(self, guest: Guest) -> Guest:
        """Give a wrapper to the hop, until it ends."""
        if self._guests is None:
            self._guests = {}
        self._guests[guest.alias] = guest
        return guest

    def borrow(self) -> Lease:
        """Take a lease for the rest of the hop: the one that its owner keeps, or a new one. Waits for it."""
        while self.borrowed is None:
            assert self.loop is not None
            assert lend_to_thread is not None
            of_caller = _lease_of_waiting_thread(self.owner) or _lease_of_waiting_call(self)
            if of_caller is not None:
                self.lease = self.borrowed = of_caller
                self._is_guest, self._has_borrowed_turn = True, False
                break
            pinned: Lease | None = self.owner.pinned
            lease = pinned or lend_to_thread(self.owner, self.loop)
            # All calls of an owner with one thread run there in order: the turn may be that of a later call.
            self._has_borrowed_turn = self.owner.executor is None
            if self._has_borrowed_turn:
                lease.take_turn_blocking(get_settings().TIMEOUT)
            if lease.ended:  # while this hop waited
                if self._has_borrowed_turn:
                    lease.turn.release()
                continue
            if self._has_borrowed_turn:
                lease.turn.thread = identify()
            self.lease = self.borrowed = _borrowed[threading.get_ident()] = lease
            if lease.connections is not None:
                lease.connections.configure()
        return self.borrowed

    def _end_borrowing(self) -> None:
        for guest in (self._guests or {}).values():
            if guest.session is None:
                guest.is_taken = False
        lease, self.borrowed = self.borrowed, None
        if lease is None:
            return
        _borrowed.pop(threading.get_ident(), None)
        try:
            if self.moved_from is not None:
                _end_move(self.moved_from, lease, keeps_transactions=True)
                lease = self.moved_from
            if self._is_guest:
                return
            assert lease.home is not None
            lease.home.finish(lease, keeps_transactions=True)  # as Django does, from hop to hop of a request
        finally:
            if self._has_borrowed_turn:
                lease.turn.release()

    def _end_left_blocks(self) -> None:
        """Roll back the async blocks of tasks that still ran when this thread stopped waiting for them."""
        thread = threading.current_thread()
        parent: Lease | None = getattr(thread, PARENT_LEASE, None)
        if parent is None or not parent.blocks:
            return
        logger.error(
            "async_to_sync() returned while a task it had started was in the atomic block at %s; it is rolled back. "
            "Wait for the task inside the function.",
            ", ".join(str(block.origin) for block in parent.blocks.values()),
        )
        for scope in tuple(parent.scopes):
            scope.is_open = False
        parent.blocks.clear()
        delattr(thread, PARENT_LEASE)
        if self.borrowed is not None and self.borrowed.connections is not None:
            for wrapper in self.borrowed.connections.own():
                reset.clean(wrapper, origin="a task left behind")

    def join(self, lease: Lease) -> None:
        """Use a lease that foreign code found in its context: wait for the turn, unless this thread has it."""
        if (caller := bridges.waiting_bridge()) is not None and caller.lease is lease:
            self._take_turn_of(caller)
        elif lease.connections is not None and lease.turn.thread != identify():
            lease.turn.acquire_blocking(get_settings().TIMEOUT)
            if lease.ended:  # while this hop waited
                lease.turn.release()
                return
            lease.turn.thread = identify()
            self._holds_turn = True
            lease.connections.configure()
        self.lease = lease

    def _take_turn_of(self, caller: Bridge) -> None:
        """Wait for the turn within a call on an event loop that waits for this code."""
        if self._caller_turn is None and caller.turn.thread != identify():
            caller.turn.acquire_blocking(get_settings().TIMEOUT)
            caller.turn.thread = identify()
            self._caller_turn = caller.turn

    def take_turn_in_test(self) -> None:
        """Without a lease, wait for the turn on the connections of a test, and have it until the outermost hop ends."""
        hop = self
        while hop.outer is not None:
            hop = hop.outer
        if not hop.serves_parent and not hop.has_test_turn:
            test_turn.acquire_blocking(get_settings().TIMEOUT)
            hop.has_test_turn = True

    def end(self) -> None:
        """Release the turn, and return the leases that the hop has borrowed."""
        if self._holds_turn:
            assert self.lease is not None
            self.lease.turn.release()
        if self.has_test_turn:
            test_turn.release()
        try:
            if self.outer is None and not self.serves_parent:
                end_left_calls()
                self._end_left_blocks()
                self._end_borrowing()
        finally:
            if self._caller_turn is not None:
                self._caller_turn.release()


def on_event_loop() -> bool:
    """Return True if code here would block an event loop. asyncio's public function raises instead, which is slower."""
    return bridges.thread.bridge is None and asyncio._get_running_loop() is not None


def current_hop() -> Hop | None:
    """Return the hop that this thread is in, if any."""
    return thread_state.hop


@contextlib.contextmanager
def outside_hops() -> Iterator[None]:
    """Let ``django.db.connections`` be the thread's own, as if no event loop had sent this code here."""
    hop, thread_state.hop = current_hop(), None
    thread_state.is_outside = True
    try:
        yield
    finally:
        thread_state.hop, thread_state.is_outside = hop, False


def run_as_hop(func: Callable[[], T], task: asyncio.Task[Any] | None, loop: asyncio.AbstractEventLoop) -> T:
    """Run ``func`` on this thread as a hop, on behalf of ``task``, for which ``loop`` waits."""
    outer = current_hop()
    hop = thread_state.hop = Hop(outer)
    hop.serves_parent = outer is None and is_sync_parent()
    hop.task, hop.loop = task, loop
    try:
        return func()
    finally:
        try:
            hop.end()
        finally:
            thread_state.hop = outer


def run_on_lease(lease: Lease, func: Callable[[], T], task: asyncio.Task[Any] | None = None) -> T:
    """Run ``func`` on this thread, on behalf of ``task``, as a hop with the lease. The turn must be the caller's."""
    outer = current_hop()
    hop = thread_state.hop = Hop(outer)
    hop.lease = lease
    hop.task = task
    before, lease.turn.thread = lease.turn.thread, identify()
    try:
        return func()
    finally:
        thread_state.hop = outer
        if hop.moved_from is not None:
            assert hop.lease is not None
            assert hop.lease.home is not None
            thread_state.hop = hop
            try:
                _end_move(lease, hop.lease, keeps_transactions=False)
            finally:
                thread_state.hop = outer
        # On a parent's lease the turn may last longer than the call, and it does where the call ran inside another.
        if lease.connections is None or before is not None:
            lease.turn.thread = before


def move_hop(begun: Lease, lease: Lease) -> None:
    """Continue the running call on another lease of its owner, whose turn it has, with its wrappers."""
    hop = current_hop()
    while hop is not None and hop.lease is not begun:
        hop = hop.outer
    assert hop is not None
    guests = begun.take_wrappers()
    begun.moved_to, lease.runs_for = lease, begun  # a request to stop the call must reach it there
    lease.turn.thread = identify()
    hop.moved_from, hop.lease = begun, lease
    if hop.borrowed is begun:
        hop.borrowed = lease
    for guest in guests:
        lease.attach(guest)


def _end_move(begun: Lease, lease: Lease, *, keeps_transactions: bool) -> None:
    """End a call that was begun on one lease and has gone on on another."""
    assert lease.home is not None
    try:
        lease.home.finish(lease, keeps_transactions=keeps_transactions)
    finally:
        begun.moved_to = lease.runs_for = None
        lease.turn.release()


def _lease_of_waiting_thread(owner: Owner) -> Lease | None:
    """Return the lease of a thread that waits for the code which sent this hop, and so does not use it."""
    executor = executor_above()
    while executor is not None:
        lease = _borrowed.get(executor._work_thread.ident)
        if lease is not None and lease.owner is owner:
            return lease
        executor = executor._old_executor
    return None


def _lease_of_waiting_call(hop: Hop) -> Lease | None:
    """Return the lease of a call on an event loop that waits for the code which sent this hop."""
    caller = bridges.waiting_bridge()
    if caller is None or caller.lease.owner is not hop.owner:
        return None
    hop._take_turn_of(caller)
    lease: Lease = caller.lease
    return lease
