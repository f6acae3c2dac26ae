"""How ``django.db.connections`` finds the lease.

A *hop* is one run of synchronous code that asgiref moved to this thread. Only inside a hop does the lease in the
context apply: a thread that merely inherited the context (``thread_inherit_context``, Python 3.14) was not handed the
lease, and the event loop's own thread must not query at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import sys
import threading
import weakref
from concurrent.futures.thread import _WorkItem
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import AsyncToSync, SyncToAsync
from django.db import InterfaceError
from django.db import connections as django_connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError
from django.utils import asyncio as django_asyncio

from daf_orm._core import bridge as bridges
from daf_orm._core import finalizers
from daf_orm._core.bridge import identify
from daf_orm._core.call_site import CallSite, find_call_site
from daf_orm._core.locks import FifoLock
from daf_orm._django import owners
from daf_orm._leases import guest as guest_module
from daf_orm._leases import reset
from daf_orm._leases.lease import (
    Lease,
    current_task,
    describe_task,
    holds_block,
    innermost_scope,
    is_outside_scopes,
    next_number,
)
from daf_orm.databases import database_of
from daf_orm.patches import Patch, PatchTable
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from types import FrameType

    from asgiref.current_thread_executor import CurrentThreadExecutor

    from daf_orm._core.bridge import Bridge
    from daf_orm._leases.guest import Guest
    from daf_orm._leases.owner import Owner

T = TypeVar("T")
logger = logging.getLogger("daf_orm")


class _ThreadState(threading.local):
    """What is known of this thread."""

    hop: Hop | None = None
    """The hop that it is in."""
    is_outside = False
    """Whether its own connections are asked for, whatever hop it is in."""


_thread = thread_state = _ThreadState()
_activation = threading.Lock()
_memory_connections: dict[str, weakref.WeakSet[BaseDatabaseWrapper]] = {}
_test_connections: dict[str, BaseDatabaseWrapper] = {}
_tests_sharing = 0
_test_turn = FifoLock()
"""Whose turn it is on a test's connections: a lease's, or that of a hop without one."""
_strays: weakref.WeakKeyDictionary[BaseDatabaseWrapper, CallSite] = weakref.WeakKeyDictionary()
_RUN_IN_EXECUTOR = _WorkItem.run.__code__
_LEFT_CALLS = "_daf_orm_left_calls"
_PARENT_LEASE = "_daf_orm_lease"  # kept on the thread itself: it ends with the thread
_borrowed: dict[int | None, Lease] = {}
"""The leases that hops of foreign code have taken, by thread."""


class Hop:
    """One run of synchronous code on this thread. Hops nest where sync code waits for async code that hops back."""

    serves_parent = False
    """Whether the thread is a sync parent's, which closes its own connections."""
    lease: Lease | None = None
    task: asyncio.Task[Any] | None = None
    has_test_turn = False
    """Of the outermost: whether it has the turn on the connections of a test."""
    loop: asyncio.AbstractEventLoop | None = None
    borrowed: Lease | None = None
    """Of the outermost, without a lease: the one that it has taken for its queries."""
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
        """Whose call it is."""
        if self._owner is None or self._owner.ended:
            self._owner = owners.owner_here(self.task)
        return self._owner

    def held(self, alias: str) -> Guest | None:
        """Return the wrapper that code of this hop has been given before it had a lease."""
        return None if self._guests is None else self._guests.get(alias)

    def guest(self, alias: str) -> Guest | None:
        """Return the owner's wrapper that this hop has, which gets a connection at its first query."""
        if self._guests is not None and (guest := self._guests.get(alias)) is not None:
            return guest
        return None if (guest := self.owner.guest(alias)) is None else self.have(guest)

    def have(self, guest: Guest) -> Guest:
        """Let the hop have a wrapper, until it ends."""
        if self._guests is None:
            self._guests = {}
        self._guests[guest.alias] = guest
        return guest

    def borrow(self) -> Lease:
        """Take a lease for the rest of the hop: the one that its owner keeps, or one of its own. Waits for it."""
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
            # All calls of an owner with one thread run there in order: the turn may be that of one behind us.
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
        """Roll back the async blocks of tasks that were left behind when this thread stopped waiting for them."""
        thread = threading.current_thread()
        parent: Lease | None = getattr(thread, _PARENT_LEASE, None)
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
        delattr(thread, _PARENT_LEASE)
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
            _test_turn.acquire_blocking(get_settings().TIMEOUT)
            hop.has_test_turn = True

    def end(self) -> None:
        """Give back the turn, and what the hop has borrowed."""
        if self._holds_turn:
            assert self.lease is not None
            self.lease.turn.release()
        if self.has_test_turn:
            _test_turn.release()
        try:
            if self.outer is None and not self.serves_parent:
                end_left_calls()
                self._end_left_blocks()
                self._end_borrowing()
        finally:
            if self._caller_turn is not None:
                self._caller_turn.release()


def on_event_loop() -> bool:
    """Whether code here would block an event loop. Dearer ways to ask raise an exception."""
    return asyncio._get_running_loop() is not None and bridges.thread.bridge is None


def current_hop() -> Hop | None:
    """Return the hop that this thread is in, if any."""
    return _thread.hop


@contextlib.contextmanager
def outside_hops() -> Iterator[None]:
    """Let ``django.db.connections`` be the thread's own, as if no event loop had sent this code here."""
    hop, _thread.hop = current_hop(), None
    _thread.is_outside = True
    try:
        yield
    finally:
        _thread.hop, _thread.is_outside = hop, False


def run_on_lease(lease: Lease, func: Callable[[], T], task: asyncio.Task[Any] | None = None) -> T:
    """Run ``func`` on this thread, on behalf of ``task``, as a hop with the lease. The turn must be the caller's."""
    outer = current_hop()
    hop = _thread.hop = Hop(outer)
    hop.lease = lease
    hop.task = task
    before, lease.turn.thread = lease.turn.thread, identify()
    try:
        return func()
    finally:
        _thread.hop = outer
        if hop.moved_from is not None:
            assert hop.lease is not None
            assert hop.lease.home is not None
            _thread.hop = hop
            try:
                _end_move(lease, hop.lease, keeps_transactions=False)
            finally:
                _thread.hop = outer
        # On a parent's lease the turn may last longer than the call, and it does where the call ran inside another.
        if lease.connections is None or before is not None:
            lease.turn.thread = before


lend_to_thread: Callable[[Owner, asyncio.AbstractEventLoop], Lease] | None = None
"""How synchronous code on a thread gets a lease; the pool, which knows this module, puts it here."""


def move_hop(begun: Lease, lease: Lease) -> None:
    """Let the running call go on on another lease of its owner's, whose turn it has, with the wrappers that it has."""
    hop = current_hop()
    while hop is not None and hop.lease is not begun:
        hop = hop.outer
    assert hop is not None
    guests = begun.take_wrappers()
    begun.moved_to, lease.runs_for = lease, begun  # what stops the call stops it there
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


def end_with_task(owner: Owner) -> None:
    """End an owner that is a task with it, from any thread."""
    if (task := owner.task) is not None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            task.get_loop().call_soon_threadsafe(task.add_done_callback, lambda _: owners.end_owner(owner))


def _variable_of(local: Any) -> contextvars.ContextVar[Any] | None:
    """Return the context variable behind a ``Local`` of asgiref's; None if it is not kept in one."""
    empty = contextvars.Context()
    empty.run(setattr, local, "current", None)
    variables = list(empty)
    return variables[0] if len(variables) == 1 else None


_EXECUTORS = _variable_of(AsyncToSync.executors)


def _executor_above() -> CurrentThreadExecutor | None:
    """Return what ``async_to_sync`` has set in this context. Where it has not, ``Local`` takes 10 times as long."""
    if _EXECUTORS is not None and _EXECUTORS.get(None) is None:
        return None
    return getattr(AsyncToSync.executors, "current", None)


def parent_executor() -> CurrentThreadExecutor | None:
    """Return the executor of the thread which is blocked in ``async_to_sync`` until this code ends, if there is one."""
    executor = _executor_above()
    if executor is None:
        executor = AsyncToSync.loop_thread_executors.get(asyncio.get_running_loop())
    while executor is not None and executor._broken:  # a parent that has returned since
        executor = executor._old_executor
    if executor is not None and executor._work_thread is threading.current_thread():
        return None  # asyncio.run() inside a hop: the parent runs this very loop and serves nobody
    return executor


def parent_lease(executor: CurrentThreadExecutor) -> Lease:
    """Return the one lease there is on a sync parent's thread."""
    thread = executor._work_thread
    with _activation:
        lease = getattr(thread, _PARENT_LEASE, None)
        if lease is None:
            lease = Lease(None, executor, asyncio.get_running_loop())
            setattr(thread, _PARENT_LEASE, lease)
        return cast("Lease", lease)


def has_quit(executor: Executor) -> bool:
    """Whether it is a sync parent's that has returned. Given work, it would hand it to the next parent, elsewhere."""
    return getattr(executor, "_broken", False) is True and hasattr(executor, "_work_thread")


def leave_to_parent(executor: Any, work: Callable[[], object]) -> None:
    """Have the work done by a parent that has returned: at the end of the hop it is in, or of its next call."""
    vars(executor._work_thread).setdefault(_LEFT_CALLS, []).append(work)


def end_left_calls() -> None:
    """On a sync parent's thread: do what finalizers have left to it, before its connections are looked over."""
    thread = threading.current_thread()
    lease: Lease | None = getattr(thread, _PARENT_LEASE, None)
    if lease is None or not lease.has_left_calls:
        return
    lease.has_left_calls = False
    finalizers.flush()
    left: list[Callable[[], object]] = vars(thread).pop(_LEFT_CALLS, [])
    for work in left:
        work()


def waits_in_turn(lease: Lease, executor: CurrentThreadExecutor) -> bool:
    """Whether the parent's thread runs a call on this lease which, further down, waits for us."""
    return lease.turn.thread == executor._work_thread.ident and executor is not lease.executor


class OrderedCallback:
    """A callback for after the commit that synchronous code in an async block has registered, and when."""

    def __init__(self, func: Callable[[], object]) -> None:
        functools.update_wrapper(self, func, updated=())
        self.func = func
        self.number = next_number()

    def __call__(self) -> object:
        return self.func()


def _on_commit(register: Any) -> Any:
    @functools.wraps(register)
    def on_commit(self: BaseDatabaseWrapper, func: Any, robust: bool = False) -> None:  # noqa: FBT001, FBT002 - Django's
        hop = current_hop()
        if hop is not None and self.in_atomic_block and callable(func) and not isinstance(func, OrderedCallback):
            func = OrderedCallback(func)
        register(self, func, robust=robust)

    return on_commit


class LeasedConnections:
    """The storage of ``django.db.connections``: the lease of the running hop first, Django's own otherwise."""

    def __init__(self, django_storage: Any) -> None:
        object.__setattr__(self, "_django", django_storage)
        object.__setattr__(self, "_known", threading.local())

    def __getattr__(self, alias: str) -> Any:
        if (hop := _thread.hop) is None:
            if is_outside_scopes() and not on_event_loop():
                return self._find_threads_own(alias)  # what purely synchronous code pays ends here
            lease = None
            _refuse_stray(alias)
        else:
            lease = _lease_here(alias, hop)
        if lease is not None:
            assert lease.connections is not None
            wrapper = lease.connections.wrappers.get(alias)
            if wrapper is None and _shared(alias) is None:
                held = hop.outermost.held(alias) if hop is not None else None
                wrapper = lease.wrapper(alias) if held is None or held.owner is not lease.owner else lease.attach(held)
            if wrapper is None:
                raise AttributeError(alias)
            return wrapper
        if hop is not None and _borrows(hop):
            if (guest := hop.outermost.guest(alias)) is None:
                raise AttributeError(alias)
            return guest.wrapper
        shared = _shared_outside_leases(alias)
        return shared if shared is not None else getattr(self._django, alias)

    def _find_threads_own(self, alias: str) -> Any:
        """Return a thread's own connection. It is Django's to keep; asking its storage each time would cost more."""
        try:
            return getattr(self._known, alias)
        except AttributeError:
            wrapper = getattr(self._django, alias)
            setattr(self._known, alias, wrapper)
            return wrapper

    def __setattr__(self, alias: str, wrapper: Any) -> None:
        vars(self._known).pop(alias, None)
        hop = current_hop()
        lease = None if hop is None else _lease_here(alias, hop)
        if lease is not None:
            assert lease.connections is not None
            assert lease.owner is not None
            shared = _shared(alias)
            if shared is not None and wrapper is shared:
                on_return = _test_turn.release if _test_connections else None
                lease.connections.borrow(alias, wrapper, lease.owner, on_return)
            else:
                lease.attach(lease.owner.add(alias, wrapper))
        elif hop is not None and _borrows(hop):
            hop.outermost.have(hop.outermost.owner.add(alias, wrapper))
        else:
            setattr(self._django, alias, wrapper)
            _report_stray(wrapper)

    def __delattr__(self, alias: str) -> None:
        vars(self._known).pop(alias, None)
        hop = current_hop()
        lease = None if hop is None else _lease_here(alias, hop)
        if lease is None:
            if hop is None or not _borrows(hop):
                delattr(self._django, alias)
        else:
            assert lease.connections is not None
            lease.connections.forget(alias)


def _borrows(hop: Hop) -> bool:
    """Whether code in a hop without a lease has its owner's wrapper: not a sync parent's, which has its own."""
    return not (_test_connections or hop.outermost.serves_parent or on_event_loop())


def _lease_here(alias: str, hop: Hop) -> Lease | None:
    """Return the lease whose connection ``alias`` means in the code that is running; None for the thread's own."""
    if on_event_loop():
        return None
    while hop.lease is None and (scope := innermost_scope()) is not None:
        hop.join(scope.lease)
    lease: Lease | None = None
    inner: Hop | None = hop
    while inner is not None:
        if (found := inner.lease) is not None:
            if found.blocks:
                _check(found, alias, hop)
            if found.connections is not None:
                lease = found
                break
        inner = inner.outer
    if lease is None:
        lease = _note_own_use(hop, alias)
    return lease


def _lease_of_waiting_thread(owner: Owner) -> Lease | None:
    """Return the lease of a thread that waits for the code which sent us here, and so does nothing with it."""
    executor = _executor_above()
    while executor is not None:
        lease = _borrowed.get(executor._work_thread.ident)
        if lease is not None and lease.owner is owner:
            return lease
        executor = executor._old_executor
    return None


def _lease_of_waiting_call(hop: Hop) -> Lease | None:
    """Return the lease of a call on an event loop that waits for the code which sent us here."""
    caller = bridges.waiting_bridge()
    if caller is None or caller.lease.owner is not hop.owner:
        return None
    hop._take_turn_of(caller)
    lease: Lease = caller.lease
    return lease


def attach_here(guest: Guest) -> None:
    """Let a wrapper have the connection of the call that uses it. A hop without a lease takes one for it."""
    hop = current_hop()
    if hop is None or on_event_loop() or hop.outermost.serves_parent:
        raise InterfaceError(_ELSEWHERE.format(alias=guest.alias, owner=guest.owner.name))
    lease = _lease_here(guest.alias, hop) or hop.outermost.borrow()
    if lease.owner is not guest.owner:
        raise InterfaceError(_ELSEWHERE.format(alias=guest.alias, owner=guest.owner.name))
    lease.attach(guest)


def is_running_here(lease: Lease) -> bool:
    """Whether this code is part of a call on a lease."""
    hop = current_hop()
    while hop is not None and hop.lease is not lease:
        hop = hop.outer
    return hop is not None


guest_module.attach_here = attach_here
guest_module.is_running_here = is_running_here
_ELSEWHERE = (
    "Connection {alias!r} of {owner} was used outside its calls, or in those of another owner. Take "
    "django.db.connection where you query, and keep no connection for later."
)


def _check(lease: Lease, alias: str, hop: Hop) -> None:
    scope = innermost_scope()
    if scope is None or lease.blocks.get(alias) is not scope:
        lease.check(alias, scope, describe_task(hop.task or current_task()))


def _note_own_use(hop: Hop, alias: str) -> Lease | None:
    """Where no lease is in use: return the one that the owner keeps, or that of a memory database."""
    parent: Lease | None = getattr(threading.current_thread(), _PARENT_LEASE, None)
    if parent is not None and parent.blocks:
        _check(parent, alias, hop)
    if _borrows(hop) and (hop.outermost.owner.pinned is not None or _shared(alias) is not None):
        return hop.outermost.borrow()
    return None


def _is_sync_parent() -> bool:
    """Whether this thread is itself a sync parent which runs what comes next while it waits."""
    executor = _executor_above()
    while executor is not None:
        if executor._work_thread is threading.current_thread():
            return True
        executor = executor._old_executor
    return False


def _refuse_stray(alias: str) -> None:
    """A to_thread() call in an atomic block has its context but not its lease: its rows would not be the block's."""
    block = None if _thread.is_outside else holds_block()
    if block is None or on_event_loop() or not _was_sent_here():
        return
    message = (
        f"A query on {alias!r} from to_thread() or run_in_executor(), inside the atomic block at {block.origin}: it "
        "would run outside the transaction. Use daf_orm.database_sync_to_async() instead."
    )
    raise TransactionManagementError(message)


def _was_sent_here() -> bool:
    """Whether an executor runs this code: a thread may also have inherited its context from whoever started it."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is _RUN_IN_EXECUTOR:
            return True
        frame = frame.f_back
    return False


def _report_stray(wrapper: BaseDatabaseWrapper) -> None:
    """Say where a thread of asyncio's default executor opens a connection that nothing will close."""
    is_outside = _thread.is_outside  # asked about, and not connected
    if current_hop() is None and not is_outside and threading.current_thread().name.startswith("asyncio_"):
        _strays[wrapper] = origin = find_call_site()
        logger.warning(
            "Connection %r is opened in thread %s at %s, outside any lease: nothing will close it. "
            "Replace to_thread() or run_in_executor() by daf_orm.database_sync_to_async().",
            wrapper.alias,
            threading.current_thread().name,
            origin,
        )


def stray_connections() -> list[tuple[BaseDatabaseWrapper, CallSite]]:
    """Return the connections that to_thread() has left open, each with the place that opened it."""
    return [(wrapper, origin) for wrapper, origin in _strays.items() if wrapper.connection is not None]


def _create_connection(create: Callable[[str], BaseDatabaseWrapper], alias: str) -> BaseDatabaseWrapper:
    """Make a connection; for in-memory SQLite on a lease, take the one that holds the database."""
    hop = current_hop()
    if hop is not None and (lease := _lease_here(alias, hop)) is not None:
        assert lease.connections is not None
        if _test_connections and not lease.connections.has_borrowed:
            _test_turn.acquire_blocking(get_settings().TIMEOUT)
        fresh: BaseDatabaseWrapper = _shared(alias) or create(alias)
        return fresh
    own: BaseDatabaseWrapper = create(alias)
    if hop is None or not _borrows(hop):
        _remember_memory(alias, own)
    return own


def _shared(alias: str) -> BaseDatabaseWrapper | None:
    """Return the connection that leases borrow instead of having their own: a running test's, or a memory database."""
    if (of_test := _test_connections.get(alias)) is not None:
        return of_test
    for wrapper in tuple(_memory_connections.get(alias, ())):
        if wrapper.connection is not None and database_of(wrapper).has_it_alone(wrapper):
            return wrapper
    return None


def _shared_outside_leases(alias: str) -> BaseDatabaseWrapper | None:
    """Return it for code without a lease too: bare hops in a test, and what is allowed to block the event loop.

    Django itself would open another connection there, to the test's tables without its rows, or to an empty memory.
    """
    if _test_connections and (current_hop() is not None or on_event_loop()):
        if (hop := current_hop()) is not None:
            hop.take_turn_in_test()
        return _test_connections.get(alias)
    if _memory_connections.get(alias) and on_event_loop():
        wrapper = _shared(alias)
        return wrapper if wrapper is not None and wrapper._thread_ident == threading.get_ident() else None  # type: ignore[attr-defined]
    return None


def share_test_connections() -> None:
    """Let every lease use this thread's connections from now on: those of a test, which rolls them back. May nest."""
    global _tests_sharing  # noqa: PLW0603 - one test at a time per process
    _tests_sharing += 1
    if _tests_sharing == 1:
        for alias in django_connections:
            wrapper = django_connections[alias]
            wrapper.inc_thread_sharing()
            _test_connections[alias] = wrapper


def unshare_test_connections() -> None:
    """Undo :func:`share_test_connections`."""
    global _tests_sharing  # noqa: PLW0603
    _tests_sharing -= 1
    while not _tests_sharing and _test_connections:
        _test_connections.popitem()[1].dec_thread_sharing()


def in_test() -> bool:
    """Whether leases use a test's connections."""
    return bool(_test_connections)


def _remember_memory(alias: str, wrapper: BaseDatabaseWrapper) -> None:
    # The main thread's is the one: tests and scripts create the tables there. It is noted whatever its name is now,
    # because a test runner renames a database to its in-memory twin later on.
    if database_of(wrapper).may_live_in_memory and threading.current_thread() is threading.main_thread():
        _memory_connections.setdefault(alias, weakref.WeakSet()).add(wrapper)


def _unless_in_bridge(get_running_loop: Callable[[], asyncio.AbstractEventLoop]) -> Any:
    @functools.wraps(get_running_loop)
    def get_blocked_loop() -> asyncio.AbstractEventLoop:
        if bridges.current_bridge() is not None:
            raise RuntimeError("What runs here can wait on the event loop.")
        return get_running_loop()

    return get_blocked_loop


def _run_in_task(call: Any) -> Any:
    @functools.wraps(call)
    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N807 - what it replaces
        bridge = bridges.current_bridge()
        if bridge is None:
            return call(self, *args, **kwargs)
        return bridge.run_within(self.awaitable(*args, **kwargs))

    return __call__


class _ThreadHandler:
    """In the place of asgiref's method: looked up on the event loop, in the task whose code is sent to a thread."""

    def __init__(self, handler: Any) -> None:
        self.__wrapped__ = handler

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return functools.partial(_handle, self.__wrapped__, current_task(), instance)


def _handle(handler: Any, task: asyncio.Task[Any] | None, instance: Any, *args: Any, **kwargs: Any) -> Any:
    return run_as_hop(functools.partial(handler, instance, *args, **kwargs), task, args[0])


def run_as_hop(func: Callable[[], T], task: asyncio.Task[Any] | None, loop: asyncio.AbstractEventLoop) -> T:
    """Run ``func`` on this thread as a hop, on behalf of ``task``, for which ``loop`` waits."""
    outer = current_hop()
    hop = _thread.hop = Hop(outer)
    hop.serves_parent = outer is None and _is_sync_parent()
    hop.task, hop.loop = task, loop
    try:
        return func()
    finally:
        try:
            hop.end()
        finally:
            _thread.hop = outer


def forget_hops() -> None:
    """In the child of a fork: this thread has no hop, and its locks may have been held in the parent."""
    global _activation  # noqa: PLW0603
    _thread.hop = None
    _activation = threading.Lock()
    if hasattr(threading.current_thread(), _PARENT_LEASE):
        delattr(threading.current_thread(), _PARENT_LEASE)


PATCHES = PatchTable(
    Patch(
        owner=django_connections,
        name="create_connection",
        wrapper=lambda create: functools.partial(_create_connection, create),
        why="in-memory SQLite has one connection, which must be remembered",
    ),
    Patch(owner=django_connections, name="_connections", wrapper=LeasedConnections, why="the lease comes first"),
    Patch(
        owner=BaseDatabaseWrapper, name="on_commit", wrapper=_on_commit, why="callbacks run in order of registration"
    ),
    Patch(
        owner=AsyncToSync,
        name="__call__",
        wrapper=_run_in_task,
        why="code that runs on the event loop itself can await there",
    ),
    Patch(
        owner=django_asyncio,
        name="get_running_loop",
        wrapper=_unless_in_bridge,
        why="code that runs on the event loop itself does not block it, also where a method of Django's is replaced",
    ),
    Patch(
        owner=SyncToAsync, name="thread_handler", wrapper=_ThreadHandler, why="what runs in a worker thread is a hop"
    ),
)


def handles_hops_of(handler: Any) -> bool:
    """Whether what asgiref runs in a thread goes through ``handler``, its own method, and ours, but no other."""
    found = vars(SyncToAsync)["thread_handler"]
    return type(found) is _ThreadHandler and found.__wrapped__ is handler


def is_active() -> bool:
    """Whether ``django.db.connections`` sees leases."""
    return isinstance(django_connections._connections, LeasedConnections)  # type: ignore[attr-defined]


def activate() -> None:
    """Let ``django.db.connections`` see leases. Idempotent; called at the first use of a lease, never on import."""
    if is_active():
        return
    with _activation:
        if is_active():
            return
        storage = django_connections._connections  # type: ignore[attr-defined]
        for alias in django_connections:
            if (wrapper := getattr(storage, alias, None)) is not None:
                _remember_memory(alias, wrapper)
        owners.PATCHES.activate()
        PATCHES.activate()  # the last: who finds us active needs all of it


def deactivate() -> None:
    """Put Django and asgiref back as they were."""
    with _activation:
        PATCHES.deactivate()
        owners.PATCHES.deactivate()
