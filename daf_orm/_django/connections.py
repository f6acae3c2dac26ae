"""How ``django.db.connections`` finds the lease.

A *hop* is one run of synchronous code that asgiref moved to this thread. Only inside a hop does the lease in the
context apply: a thread that merely inherited the context (``thread_inherit_context``, Python 3.14) was not handed the
lease, and the event loop's own thread must not query at all.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
import threading
import weakref
from concurrent.futures.thread import _WorkItem
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import AsyncToSync, SyncToAsync
from django.db import connections as django_connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from daf_orm._core import finalizers
from daf_orm._core.call_site import CallSite, find_call_site
from daf_orm._core.locks import FifoLock
from daf_orm._leases import reset
from daf_orm._leases.lease import Lease, describe_task, holds_block, innermost_scope
from daf_orm.patches import Patch, PatchTable
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from types import FrameType

    from asgiref.current_thread_executor import CurrentThreadExecutor

T = TypeVar("T")
logger = logging.getLogger("daf_orm")

_thread = threading.local()
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


class Hop:
    """One run of synchronous code on this thread. Hops nest where sync code waits for async code that hops back."""

    __slots__ = ("_holds_turn", "has_test_turn", "lease", "opened_own", "outer", "serves_parent", "task")

    def __init__(self, outer: Hop | None, *, serves_parent: bool = False) -> None:
        self.outer = outer
        self.serves_parent = serves_parent  # whether the thread is a sync parent's, which closes its own connections
        self.lease: Lease | None = None
        self.task: asyncio.Task[Any] | None = None
        self.opened_own = False  # of the outermost: whether code without a lease used this thread's own connections
        self.has_test_turn = False  # of the outermost: on the connections of a test
        self._holds_turn = False

    def join(self, lease: Lease) -> None:
        """Use a lease that foreign code found in its context: wait for the turn, unless this thread has it."""
        if lease.connections is not None and lease.turn.thread != threading.get_ident():
            lease.turn.acquire_blocking(get_settings().TIMEOUT)
            if lease.ended:  # while this hop waited
                lease.turn.release()
                return
            lease.turn.thread = threading.get_ident()
            self._holds_turn = True
        self.lease = lease

    def take_turn_in_test(self) -> None:
        """Without a lease, wait for the turn on the connections of a test, and have it until the outermost hop ends."""
        hop = self
        while hop.outer is not None:
            hop = hop.outer
        if not hop.serves_parent and not hop.has_test_turn:
            _test_turn.acquire_blocking(get_settings().TIMEOUT)
            hop.has_test_turn = True

    def end(self) -> None:
        """Give the turn back; close what foreign code opened on a worker thread that nobody else would close."""
        if self._holds_turn:
            assert self.lease is not None
            self.lease.turn.release()
        if self.has_test_turn:
            _test_turn.release()
        if self.outer is None and not self.serves_parent:
            end_left_calls()
            _end_left_blocks()
            if self.opened_own:
                _close_own_connections()


def on_event_loop() -> bool:
    """Whether an event loop runs in this thread. Dearer ways to ask raise an exception."""
    return asyncio._get_running_loop() is not None


def current_hop() -> Hop | None:
    """Return the hop that this thread is in, if any."""
    hop: Hop | None = getattr(_thread, "hop", None)
    return hop


def run_on_lease(lease: Lease, func: Callable[[], T], task: asyncio.Task[Any] | None = None) -> T:
    """Run ``func`` on this thread, on behalf of ``task``, as a hop with the lease. The turn must be the caller's."""
    outer = current_hop()
    hop = _thread.hop = Hop(outer)
    hop.lease = lease
    hop.task = task
    before, lease.turn.thread = lease.turn.thread, threading.get_ident()
    try:
        return func()
    finally:
        _thread.hop = outer
        if lease.connections is None:  # the turn may last longer than the call; on a pooled lease it is over
            lease.turn.thread = before


def parent_executor() -> CurrentThreadExecutor | None:
    """Return the executor of the thread which is blocked in ``async_to_sync`` until this code ends, if there is one."""
    executor = getattr(AsyncToSync.executors, "current", None)
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


class LeasedConnections:
    """The storage of ``django.db.connections``: the lease of the running hop first, Django's own otherwise."""

    def __init__(self, django_storage: Any) -> None:
        object.__setattr__(self, "_django", django_storage)

    def __getattr__(self, alias: str) -> Any:
        lease = _lease_here(alias)
        if lease is None:
            shared = _shared_outside_leases(alias)
            return shared if shared is not None else getattr(self._django, alias)
        assert lease.connections is not None
        try:
            return lease.connections.wrappers[alias]
        except KeyError:
            raise AttributeError(alias) from None

    def __setattr__(self, alias: str, wrapper: Any) -> None:
        lease = _lease_here(alias)
        if lease is None:
            setattr(self._django, alias, wrapper)
            _report_stray(wrapper)
            return
        assert lease.connections is not None
        shared = _shared(alias)
        if shared is not None and wrapper is shared:
            lease.connections.borrow(alias, wrapper, _test_turn.release if _test_connections else None)
        else:
            lease.connections.adopt(alias, wrapper)

    def __delattr__(self, alias: str) -> None:
        lease = _lease_here(alias)
        if lease is None:
            delattr(self._django, alias)
        else:
            assert lease.connections is not None
            lease.connections.wrappers.pop(alias, None)


def _lease_here(alias: str) -> Lease | None:
    """Return the lease whose connection ``alias`` means in the code that is running; None for the thread's own."""
    hop = current_hop()
    if hop is None:
        _refuse_stray(alias)
        return None
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
        _note_own_use(hop, alias)
    return lease


def _check(lease: Lease, alias: str, hop: Hop) -> None:
    lease.check(alias, innermost_scope(), describe_task(hop.task))


def _note_own_use(hop: Hop, alias: str) -> None:
    parent: Lease | None = getattr(threading.current_thread(), _PARENT_LEASE, None)
    if parent is not None and parent.blocks:
        _check(parent, alias, hop)
    # Code in a worker thread may be a sync parent too: what is opened while it waits is closed when its own hop ends.
    while hop.outer is not None:
        hop = hop.outer
    hop.opened_own = not hop.serves_parent


def _is_sync_parent() -> bool:
    """Whether this thread is itself a sync parent which runs what comes next while it waits."""
    executor = getattr(AsyncToSync.executors, "current", None)
    while executor is not None:
        if executor._work_thread is threading.current_thread():
            return True
        executor = executor._old_executor
    return False


def _end_left_blocks() -> None:
    """Roll back the async blocks of tasks that were left behind when this worker thread stopped waiting for them."""
    thread = threading.current_thread()
    lease: Lease | None = getattr(thread, _PARENT_LEASE, None)
    if lease is None or not lease.blocks:
        return
    logger.error(
        "async_to_sync() returned while a task it had started was in the atomic block at %s; it is rolled back. "
        "Wait for the task inside the function.",
        ", ".join(str(block.origin) for block in lease.blocks.values()),
    )
    for scope in tuple(lease.scopes):
        scope.is_open = False
    lease.blocks.clear()
    delattr(thread, _PARENT_LEASE)
    for wrapper in django_connections.all(initialized_only=True):
        reset.clean(wrapper, origin="a task left behind")
        reset.close_for_good(wrapper)


def _close_own_connections() -> None:
    """Close this worker thread's own connections, except one inside somebody's hand-made transaction.

    The thread may die with its request, or idle for ever in an executor: nobody would close them later.
    """
    if _test_connections:  # it had those
        return
    for wrapper in django_connections.all(initialized_only=True):
        if wrapper.in_atomic_block or _is_in_manual_transaction(wrapper):
            logger.warning(
                "A hop ended inside a transaction on the thread's own connection %r. "
                "Use daf_orm.transaction.atomic(), which keeps its connection across hops.",
                wrapper.alias,
            )
        elif _is_shared_memory(wrapper):
            BaseDatabaseWrapper.close(wrapper)  # SQLite's own close() keeps the last connection to a memory database
        else:
            wrapper.close()


def _is_in_manual_transaction(wrapper: BaseDatabaseWrapper) -> bool:
    return wrapper.connection is not None and (
        wrapper.autocommit != wrapper.settings_dict["AUTOCOMMIT"] or reset.in_transaction(wrapper.connection)
    )


def _is_shared_memory(wrapper: BaseDatabaseWrapper) -> bool:
    return wrapper.vendor == "sqlite" and "mode=memory" in str(wrapper.settings_dict["NAME"])


def _refuse_stray(alias: str) -> None:
    """A to_thread() call in an atomic block has its context but not its lease: its rows would not be the block's."""
    block = holds_block()
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
    if current_hop() is None and threading.current_thread().name.startswith("asyncio_"):
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
    if hop is not None and (lease := _lease_here(alias)) is not None:
        assert lease.connections is not None
        if _test_connections and not lease.connections.has_borrowed:
            _test_turn.acquire_blocking(get_settings().TIMEOUT)
        fresh: BaseDatabaseWrapper = _shared(alias) or create(alias)
        return fresh
    own: BaseDatabaseWrapper = create(alias)
    _remember_memory(alias, own)
    return own


def _shared(alias: str) -> BaseDatabaseWrapper | None:
    """Return the connection that leases borrow instead of having their own: a running test's, or a memory database."""
    if (of_test := _test_connections.get(alias)) is not None:
        return of_test
    for wrapper in tuple(_memory_connections.get(alias, ())):
        if wrapper.connection is not None and wrapper.is_in_memory_db():  # type: ignore[attr-defined]
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
    if wrapper.vendor == "sqlite" and threading.current_thread() is threading.main_thread():
        _memory_connections.setdefault(alias, weakref.WeakSet()).add(wrapper)


def _thread_handler(handler: Any) -> Any:
    @functools.wraps(handler)
    def thread_handler(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer = current_hop()
        hop = _thread.hop = Hop(outer, serves_parent=outer is None and _is_sync_parent())
        try:
            return handler(self, *args, **kwargs)
        finally:
            try:
                hop.end()
            finally:
                _thread.hop = outer

    return thread_handler


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
        owner=SyncToAsync, name="thread_handler", wrapper=_thread_handler, why="what runs in a worker thread is a hop"
    ),
)


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
        PATCHES.activate()


def deactivate() -> None:
    """Put Django and asgiref back as they were."""
    with _activation:
        PATCHES.deactivate()
