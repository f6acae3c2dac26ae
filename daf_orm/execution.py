"""Run synchronous ORM code off the event loop, by three rules.

1. A synchronous parent waits for us (``async_to_sync`` above: ``TestCase``, WSGI, a management command): the code runs
   on its thread, so that its transaction is seen. One task at a time has that thread's connections.
2. The task has a lease (in ``atomic``, ``cursor``, ``aiterator``): the code runs on that lease, when it is its turn.
3. Otherwise a lease is taken for this one call, cleaned in the same thread hop, and given back.

A call that is cancelled while it waits leaves the queue and never runs; :mod:`daf_orm.calls` says what happens to one
that runs.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from asgiref.sync import iscoroutinefunction
from django.db.transaction import TransactionManagementError

from daf_orm import binding, reaper
from daf_orm.calls import END_TURN, GIVE_BACK, KEEP_TURN, Call, Ending
from daf_orm.leases import Lease, Scope, enter_scope, innermost_scope, leave_scope, step_back
from daf_orm.origins import find_origin
from daf_orm.pool import get_pool
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")


async def run(func: Callable[[], T]) -> T:
    """Run ``func`` by the three rules and return what it returns."""
    scope = innermost_scope()
    if scope is not None:
        return await _run_in(scope, func)
    return await _run_once(await _take_lease(), func)


def database_sync_to_async(func: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a synchronous function that uses the ORM awaitable: one thread hop, one lease, cleaned afterwards.

    A decorator, or a call: ``await database_sync_to_async(reindex)(book_id)``. Raises TypeError if ``func`` is async.
    The function should return evaluated results: a queryset it returns would query later, elsewhere.
    """
    if iscoroutinefunction(func) or not callable(func):
        raise TypeError(
            f"database_sync_to_async() takes a synchronous function, not {func!r}. Await that one directly."
        )

    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return await run(functools.partial(func, *args, **kwargs))

    functools.update_wrapper(wrapper, func)
    return wrapper


def await_safe(func: Callable[P, T | Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make any callable awaitable, be it synchronous or not.

    ``await await_safe(Book.objects.get)(pk=1)``. A synchronous one runs as with :func:`database_sync_to_async`; what is already async is awaited as it is.
    """

    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        if iscoroutinefunction(func):
            return await cast("Awaitable[T]", func(*args, **kwargs))
        result = await run(functools.partial(func, *args, **kwargs))
        # A manager's a… methods are plain functions that return a coroutine.
        return await result if inspect.isawaitable(result) else result

    functools.update_wrapper(wrapper, func)
    return wrapper


# Leases held across awaits


async def open_scope(alias: str | None = None) -> Scope:
    """Hold a lease from here on: the one that the task has, or a new one. End it with :func:`close_scope`.

    ``alias`` makes it the scope of an atomic block on that database.
    """
    origin = find_origin()
    outer = innermost_scope()
    lease = outer.lease if outer is not None else await _take_lease()
    if outer is None:
        lease.origin = origin
    scope = Scope(lease, outer, origin, alias)
    enter_scope(scope)
    return scope


async def close_scope(scope: Scope, last_call: Callable[[bool], T]) -> T:
    """Run ``last_call`` on the scope's lease, whatever cancellations arrive; give the lease back if the scope took it.

    ``last_call`` is told whether the task has been cancelled. If it has, CancelledError is raised afterwards.
    """
    on_parent = _on_parent(scope)
    cancelled = None if on_parent else await _acquire_finally(scope.lease)
    if scope.lease.ended:  # with the scope around this one, while this one waited
        scope.lease.turn.release()
        leave_scope(scope)
        raise TransactionManagementError(f"What was opened at {scope.origin} ended with the transaction around it.")
    outside = enter_scope(scope)
    try:
        return await Call(scope.lease, last_call, _ending(scope), final=True, on_parent=on_parent).perform(cancelled)
    finally:
        leave_scope(scope, outside)


def abandon_scope(scope: Scope, last_call: Callable[[bool], object]) -> None:
    """Do the same from a finalizer, where nothing can be awaited: a worker thread sees to it, soon."""
    context = contextvars.copy_context()
    context.run(enter_scope, scope)
    step_back(scope)
    call = Call(scope.lease, last_call, _ending(scope), final=True)
    reaper.leave(lambda: call.perform_detached(context))


def _on_parent(scope: Scope) -> bool:
    if scope.lease.connections is None:
        return True
    return scope.outer is not None and binding.parent_executor() is not None


def _ending(scope: Scope) -> Ending:
    if scope.outer is None:
        return GIVE_BACK
    return KEEP_TURN if scope.lease.connections is None else END_TURN


async def _take_lease() -> Lease:
    binding.activate()
    reaper.start()
    if (executor := binding.parent_executor()) is None:
        return await get_pool().lend()
    lease = binding.parent_lease(executor)
    await lease.turn.acquire(get_settings().TIMEOUT)
    return lease


async def _run_in(scope: Scope, func: Callable[[], T]) -> T:
    """Run ``func`` on the lease that its task goes on holding."""
    lease = scope.lease
    if lease.connections is None or binding.parent_executor() is not None:
        # The second case: a hop which may have the turn on this lease waits for us. It runs on that hop's thread.
        return await Call(lease, lambda _: func(), KEEP_TURN, on_parent=True).perform()
    if lease.turn.thread == threading.get_ident():
        raise RuntimeError(_NESTED_LOOP)
    await lease.turn.acquire(get_settings().TIMEOUT)
    if not _still_in(scope):
        return await run(func)
    return await Call(lease, lambda _: func(), END_TURN).perform()


def _still_in(scope: Scope) -> bool:
    """Whether the scope has outlasted the wait for its turn; if not, the turn is given back."""
    still = False
    try:
        still = innermost_scope() is scope
    finally:
        if not still:
            scope.lease.turn.release()
    return still


async def _run_once(lease: Lease, func: Callable[[], T]) -> T:
    """Run ``func`` on a lease that was taken for it alone."""
    on_parent = lease.connections is None
    if not on_parent:
        await lease.turn.acquire(None)  # at once: nobody else knows this lease
    return await Call(lease, lambda _: func(), GIVE_BACK, on_parent=on_parent).perform()


async def _acquire_finally(lease: Lease) -> asyncio.CancelledError | None:
    """Wait for the turn as long as it takes; return the cancellation that arrived meanwhile, if one did."""
    cancelled = None
    while True:
        try:
            await lease.turn.acquire(None)
        except asyncio.CancelledError as error:
            cancelled = error
        else:
            return cancelled


_NESTED_LOOP = (
    "asyncio.run() was called by synchronous code that has a connection in use, and what it runs wants the same "
    "connection: each would wait for the other. Use asgiref's async_to_sync() there, or make the calling code async."
)
