"""Sync parents: threads that are blocked in ``async_to_sync`` and run the code that asgiref sends back meanwhile."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any, cast

from asgiref.sync import AsyncToSync

from daf_orm._core import finalizers
from daf_orm._leases.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from asgiref.current_thread_executor import CurrentThreadExecutor

_making = threading.Lock()
_LEFT_CALLS = "_daf_orm_left_calls"
PARENT_LEASE = "_daf_orm_lease"  # kept on the thread itself: it ends with the thread


def _variable_of(local: Any) -> contextvars.ContextVar[Any] | None:
    """Return the context variable behind asgiref's ``Local``; None if it is not kept in one."""
    empty = contextvars.Context()
    empty.run(setattr, local, "current", None)
    variables = list(empty)
    return variables[0] if len(variables) == 1 else None


_EXECUTORS = _variable_of(AsyncToSync.executors)


def executor_above() -> CurrentThreadExecutor | None:
    """Return the executor that ``async_to_sync`` has set in this context, if any. ``Local`` is 10 times slower."""
    if _EXECUTORS is not None and _EXECUTORS.get(None) is None:
        return None
    return getattr(AsyncToSync.executors, "current", None)


def parent_executor() -> CurrentThreadExecutor | None:
    """Return the executor of the thread which is blocked in ``async_to_sync`` until this code ends, if there is one."""
    executor = executor_above()
    if executor is None:
        if not (of_loops := AsyncToSync.loop_thread_executors):  # most processes have none
            return None
        executor = of_loops.get(asyncio.get_running_loop())
    while executor is not None and executor._broken:  # a parent that has returned since
        executor = executor._old_executor
    if executor is not None and executor._work_thread is threading.current_thread():
        return None  # asyncio.run() inside a hop: the parent runs this very loop and serves no other code
    return executor


def is_sync_parent() -> bool:
    """Return True if this thread is itself a sync parent, which runs the code sent to it while it waits."""
    executor = executor_above()
    while executor is not None:
        if executor._work_thread is threading.current_thread():
            return True
        executor = executor._old_executor
    return False


def parent_lease(executor: CurrentThreadExecutor) -> Lease:
    """Return the only lease of a sync parent's thread."""
    thread = executor._work_thread
    with _making:
        lease = getattr(thread, PARENT_LEASE, None)
        if lease is None:
            lease = Lease(None, executor, asyncio.get_running_loop())
            setattr(thread, PARENT_LEASE, lease)
        return cast("Lease", lease)


def forget_parent() -> None:
    """Reset state in the child of a fork: this thread is no sync parent's."""
    global _making  # noqa: PLW0603 - the lock may have been held in the parent process
    _making = threading.Lock()
    if hasattr(threading.current_thread(), PARENT_LEASE):
        delattr(threading.current_thread(), PARENT_LEASE)


def has_quit(executor: Executor) -> bool:
    """Return True for the executor of a sync parent that has returned. It would pass work to the next parent."""
    return getattr(executor, "_broken", False) is True and hasattr(executor, "_work_thread")


def leave_to_parent(executor: Any, work: Callable[[], object]) -> None:
    """Leave work to a parent that has returned. It is done at the end of the parent's current hop or next call."""
    vars(executor._work_thread).setdefault(_LEFT_CALLS, []).append(work)


def end_left_calls() -> None:
    """Do the work that finalizers have left to a sync parent's thread, before its connections are checked."""
    thread = threading.current_thread()
    lease: Lease | None = getattr(thread, PARENT_LEASE, None)
    if lease is None or not lease.has_left_calls:
        return
    lease.has_left_calls = False
    finalizers.flush()
    left: list[Callable[[], object]] = vars(thread).pop(_LEFT_CALLS, [])
    for work in left:
        work()


def waits_in_turn(lease: Lease, executor: CurrentThreadExecutor) -> bool:
    """Return True if the parent's thread runs a call on this lease which, further down, waits for this code."""
    return lease.turn.thread == executor._work_thread.ident and executor is not lease.executor
