"""Find the owner of a call: a request, another ``ThreadSensitiveContext``, or a task."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import InterfaceError

from daf_orm._core.tasks import current_task, describe_task
from daf_orm._leases.owner import Owner
from daf_orm.patches import Patch, PatchTable

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from concurrent.futures import Executor, Future
    from contextvars import Token

_owner: ContextVar[Owner | None] = ContextVar("daf_orm.owner", default=None)
_of_tasks: weakref.WeakKeyDictionary[asyncio.Task[Any], Owner] = weakref.WeakKeyDictionary()
_OWNER: Final = "_daf_orm_owner"  # kept on the context itself: it ends with it
_ENDED: Final = Owner("a ThreadSensitiveContext")  # of contexts that never used a database: one Owner costs 2 µs
_ENDED.end()


def owner_here(task: asyncio.Task[Any] | None = None) -> Owner:
    """Return the owner of the state that the running code sets on a connection. ``task`` sent the code to this thread.

    Raises InterfaceError if the code was started by an owner that has ended since, and had kept a connection.
    """
    ended: Owner | None = None
    if (owner := _owner.get()) is not None:
        if not owner.ended:
            return owner
        ended = owner
    if (context := SyncToAsync.thread_sensitive_context.get(None)) is not None:
        found: Owner | None = vars(context).get(_OWNER)
        if found is None:  # two threads may be here at once
            found = vars(context).setdefault(_OWNER, Owner("a ThreadSensitiveContext"))
        if not found.ended:
            return found
        ended = ended or found
    task = task or current_task()
    if ended is not None and ended.was_pinned:
        raise InterfaceError(
            f"{describe_task(task)} was started by {ended.name}, which has ended since and has returned the connection "
            "with its settings. Await the task before the request ends, or start it as a background task."
        )
    if task is None:
        return Owner("code outside a task")
    owner = _of_tasks.get(task)
    if owner is None:
        owner = _of_tasks[task] = Owner(task=task)
    return owner


def enter_owner(name: str, executor: Executor | None = None) -> tuple[Owner, Token[Owner | None]]:
    """Make this task, and those it starts, a new owner. ``executor`` has the one thread of all of its calls."""
    owner = Owner(name, executor=executor)
    return owner, _owner.set(owner)


def leave_owner(token: Token[Owner | None]) -> None:
    """Undo :func:`enter_owner` in the task that called it."""
    with contextlib.suppress(ValueError):  # in another context: a generator was closed elsewhere
        _owner.reset(token)


def end_owner(owner: Owner) -> Future[None] | None:
    """End an owner. Return a future if there is something to wait for: a connection is being cleaned."""
    owner.end()
    lease = owner.pinned
    if lease is None or lease.home is None:
        return None
    is_busy = lease.turn.taken or lease.scopes
    ending: Future[None] = lease.home.end(lease)
    return None if is_busy else ending


def end_own_state() -> Future[None] | None:
    """End the owner that stands for the running task alone; its next call begins as a new one.

    An owner that holds its lease across awaits stays. Return a future if a connection is being cleaned.
    """
    task = current_task()
    owner = None if task is None else _of_tasks.get(task)
    if task is None or owner is None or owner.pinned is None or owner.pinned.scopes:
        return None
    del _of_tasks[task]
    return end_owner(owner)


def _context_exit(leave: Any) -> Any:
    def __aexit__(self: ThreadSensitiveContext, *exc_info: Any) -> Any:  # noqa: N807 - the method that it replaces
        # The owner stays there: tasks that outlive the context must not get a new one, which would never end.
        owner: Owner = vars(self).setdefault(_OWNER, _ENDED) if self.token else _ENDED
        left = leave(self, *exc_info)
        return left if owner is _ENDED else _ended_with(owner, left)

    return __aexit__


async def _ended_with(owner: Owner, left: Awaitable[Any]) -> Any:
    try:
        return await left
    finally:
        if (ending := end_owner(owner)) is not None:
            await asyncio.shield(asyncio.wrap_future(ending))


PATCHES = PatchTable(
    Patch(
        owner=ThreadSensitiveContext,
        name="__aexit__",
        wrapper=_context_exit,
        why="settings that a request has made on its connection end with it",
    )
)


def end_with_task(owner: Owner) -> None:
    """End an owner that is a task when the task ends. May be called from any thread."""
    if (task := owner.task) is not None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            task.get_loop().call_soon_threadsafe(task.add_done_callback, lambda _: end_owner(owner))
