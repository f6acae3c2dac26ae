"""Run synchronous ORM code off the event loop, by three rules.

1. A synchronous parent waits for the code (``async_to_sync`` above: ``TestCase``, WSGI, a management command). The code
   runs on its thread, so that its transaction is seen. One task at a time has that thread's connections.
2. The task has a lease (in ``atomic``, ``cursor``, ``aiterator``). The code runs on that lease, when it is its turn.
3. Otherwise a lease is taken for this one call, cleaned in the same thread hop, and returned.

A call that is cancelled while it waits leaves the queue and never runs. :mod:`daf_orm._execution.call` describes the
calls that run.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import InterfaceError

from daf_orm._core import finalizers
from daf_orm._core.bridge import identify, waiting_bridge
from daf_orm._core.call_site import find_call_site
from daf_orm._django import connections as leased_connections
from daf_orm._django import sync_parents
from daf_orm._django.owners import owner_here
from daf_orm._execution.call import END_TURN, GIVE_BACK, KEEP_TURN, EndScope
from daf_orm._execution.routes import call_on
from daf_orm._execution.routes.thread import ThreadCall
from daf_orm._leases.lease import Lease
from daf_orm._leases.scope import (
    Inside,
    Leaving,
    Scope,
    enter_scope,
    innermost_scope,
    step_back,
)
from daf_orm._pool.process_pool import get_pool
from daf_orm.detection.watchdog import watchdog
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgiref.current_thread_executor import CurrentThreadExecutor

    from daf_orm._core.bridge import Bridge
    from daf_orm._core.call_site import CallSite
    from daf_orm._core.locks import FifoLock
    from daf_orm._leases.owner import Owner

P = ParamSpec("P")
T = TypeVar("T")


async def run(func: Callable[[], T], *, in_thread: bool = False) -> T:
    """Run ``func`` by the three rules and return its result.

    ``in_thread``: on a thread also where the lease's connections could wait on the event loop.
    """
    if (caller := _waiting_call()) is not None:
        return await _run_within(caller, func, in_thread=in_thread)
    while (scope := innermost_scope()) is not None:
        if _on_parent(scope.lease):
            scope.lease.refuse_beside_copy(None)
            return await call_on(scope.lease, lambda _: func(), KEEP_TURN, on_parent=True, subject=func).perform()
        await _take_turn(scope.lease, scope)
        if scope.is_alive:
            return await call_on(scope.lease, lambda _: func(), END_TURN, in_thread=in_thread, subject=func).perform()
        scope.lease.turn.release()  # it has ended while this call waited
    return await _run_once(func, in_thread=in_thread)


def _waiting_call() -> Bridge | None:
    """Return the call on this event loop that waits for this code; None if none does, or if a thread does."""
    caller = waiting_bridge()
    return None if caller is None or sync_parents.parent_executor() is not None else caller


async def _run_within(caller: Bridge, func: Callable[[], T], *, in_thread: bool) -> T:
    """Run ``func`` inside a call that waits for this code."""
    await caller.turn.acquire(get_settings().TIMEOUT)
    try:
        call = call_on(caller.lease, lambda _: func(), KEEP_TURN, in_thread=in_thread, within=caller, subject=func)
        return await call.perform()
    finally:
        caller.turn.release()


async def run_in(scope: Scope, func: Callable[[], T]) -> T:
    """Run ``func`` on the lease of a scope, also from a task that has another one, or none.

    Raises InterfaceError if the scope has ended.
    """
    with Inside(scope) as before:
        if not scope.is_alive:
            raise InterfaceError(f"The block, cursor or iteration opened at {scope.origin} is closed.")
        if (caller := _waiting_call()) is not None and caller.lease is scope.lease:
            return await _run_within(caller, func, in_thread=False)
        if _on_parent(scope.lease):
            scope.lease.refuse_beside_copy(scope)
            return await call_on(scope.lease, lambda _: func(), KEEP_TURN, on_parent=True, subject=func).perform()
        stands = scope if scope.lease.is_in_block(scope) else before
        await _take_turn(scope.lease, stands, copying=scope)
        if not scope.is_alive:
            scope.lease.turn.release()
            raise InterfaceError(
                f"The block, cursor or iteration opened at {scope.origin} was closed while a call on it waited."
            )
        return await call_on(scope.lease, lambda _: func(), END_TURN, subject=func).perform()


# Leases held across awaits


async def open_scope(alias: str | None = None, *, within: Scope | None = None) -> Scope:
    """Hold a lease from here on: the one that the task has, or a new one. End it with :func:`close_scope`.

    ``alias`` makes it the scope of an atomic block on that database; ``within`` puts it inside another one.
    """
    origin = find_call_site()
    outer = within or innermost_scope()
    scope: Scope | None = None
    if (caller := _waiting_call()) is not None:
        scope = Scope(caller.lease, outer, origin, alias, is_guest=True)
        caller.lease.scopes.add(scope)
    elif outer is None:
        scope = await _scope_on_pinned(origin, alias)
    elif outer.lease.is_pinned and not outer.lease.is_in_block(outer):
        scope = await _join_pinned(Scope(outer.lease, outer, origin, alias))
    if scope is None:
        if outer is not None:
            lease, is_guest = outer.lease, outer.is_guest
        else:
            lease, is_guest = await _take_lease()
            lease.origin = lease.origin if is_guest else origin
        scope = Scope(lease, outer, origin, alias, is_guest=is_guest)
        lease.scopes.add(scope)
    enter_scope(scope)
    return scope


async def open_iteration(owner: Owner | None) -> Scope:
    """Hold a lease for an iteration. Iterations share a part of the pool, so that other calls find a lease.

    ``owner`` has made the iterator, if tasks of other owners may drive it: its own queries go on beside it.
    """
    if innermost_scope() is not None or _is_beside_parent() or _waiting_call() is not None:
        return await open_scope()
    _start()
    origin, owner = find_call_site(), owner_here() if owner is None or owner.ended else owner
    scope = await _scope_on_pinned(origin, owner=owner)
    if scope is None:
        pool, timeout = get_pool(), get_settings().TIMEOUT
        try:
            await pool.iterations.acquire(timeout)
        except TimeoutError as error:
            raise pool.too_many_iterations(timeout) from error
        try:
            lease = await pool.lend(owner=owner)
        except BaseException:
            pool.iterations.release()
            raise
        lease.origin = origin
        scope = Scope(lease, None, origin, share=pool.iterations)
        lease.scopes.add(scope)
        if owner is not owner_here():
            pool.share(lease, owner)
    enter_scope(scope)
    return scope


async def _scope_on_pinned(origin: CallSite, alias: str | None = None, owner: Owner | None = None) -> Scope | None:
    """Return a scope on the lease that the owner of this code keeps; None if it keeps none."""
    scope: Scope | None = None
    while scope is None and (pinned := _pinned_lease(owner)) is not None:
        scope = await _join_pinned(Scope(pinned, None, origin, alias))
    return scope


async def _join_pinned(scope: Scope) -> Scope | None:
    """Let a scope hold a lease that its owner's other tasks use too. A block makes them wait until it has ended.

    Return None if the owner has returned the lease meanwhile.
    """
    lease = scope.lease
    if scope.alias is None:
        await _take_turn(lease, scope.outer, copying=scope.outer)
    else:
        await lease.pass_gate(get_settings().TIMEOUT)
        scope.holds_gate = True
        try:
            await _take_turn(lease, scope, copying=scope.outer)
        except BaseException:
            lease.leave_gate(scope)
            raise
    if lease.ended:
        lease.leave_gate(scope)
    else:
        lease.scopes.add(scope)
    lease.turn.release()
    return None if lease.ended else scope


def _pinned_lease(owner: Owner | None = None) -> Lease | None:
    """Return the lease that an owner keeps, by default that of this code."""
    if _is_beside_parent():
        return None
    pinned: Lease | None = (owner or owner_here()).pinned
    return pinned


def _is_beside_parent() -> bool:
    return sync_parents.parent_executor() is not None


async def close_scope(scope: Scope, last_call: Callable[[bool], T]) -> T:
    """Run ``last_call`` on the scope's lease, whatever cancellations arrive; the last scope on it returns it.

    ``last_call`` is called with True if the task has been cancelled; CancelledError is then raised afterwards.
    """
    lease = scope.lease
    if lease.connections is not None and sync_parents.parent_executor() is not None:
        return await _close_within_hop(scope, last_call)
    if (caller := _waiting_call()) is not None and caller.lease is lease:
        return await _close_within_call(scope, caller, last_call)
    if lease.connections is not None and lease.turn.thread == identify():
        abandon_scope(scope, last_call)
        raise RuntimeError(_NESTED_LOOP)
    on_parent = lease.connections is None
    cancelled = None if on_parent or lease.turn.acquire_at_once() else await _acquire_finally(lease.turn)
    with Leaving(scope):
        call = call_on(lease, last_call, EndScope(scope), final=True, on_parent=on_parent)
        return await call.perform(cancelled)


async def _close_within_call(scope: Scope, caller: Bridge, last_call: Callable[[bool], T]) -> T:
    """Close a scope inside a call that has the lease's turn and waits for this code."""
    cancelled = await _acquire_finally(caller.turn)
    with Leaving(scope):
        try:
            return await call_on(scope.lease, last_call, EndScope(scope), final=True, within=caller).perform(cancelled)
        finally:
            caller.turn.release()


async def _close_within_hop(scope: Scope, last_call: Callable[[bool], T]) -> T:
    """Close a scope inside a waiting hop, which may have the lease's turn. The lease is returned when that hop ends."""
    try:
        with Leaving(scope):
            return await call_on(scope.lease, last_call, KEEP_TURN, final=True, on_parent=True).perform()
    finally:
        scope.lease.scopes.discard(scope)
        scope.lease.leave_gate(scope)
        scope.leave_share()
        if not scope.lease.scopes:
            ThreadCall(scope.lease, lambda _: None, GIVE_BACK, final=True).perform_detached()


def abandon_scope(scope: Scope, last_call: Callable[[bool], object]) -> None:
    """Close a scope from a finalizer, where nothing can be awaited: a worker thread does it soon."""
    context = contextvars.copy_context()
    context.run(enter_scope, scope)
    step_back(scope)
    scope.is_abandoned = True
    scope.lease.has_left_calls = True
    call = ThreadCall(scope.lease, last_call, EndScope(scope), final=True)
    finalizers.defer(lambda: call.perform_detached(context))


def _on_parent(lease: Lease) -> bool:
    """Return True if a call must run on the thread of a sync parent.

    On the parent's own lease every call must. On another lease a waiting hop may have the turn: the call runs in that.
    """
    return lease.connections is None or sync_parents.parent_executor() is not None


def _start() -> None:
    """Activate what a lease needs: Django's lookup, finalizers for dropped tasks, and the watchdog."""
    leased_connections.activate()
    finalizers.start()
    if watchdog.wanted:
        watchdog.watch_running_loop()


async def _take_lease() -> tuple[Lease, bool]:
    """Return a lease, and True if this code is a guest on it: in the turn of a call that waits for it."""
    _start()
    if (executor := sync_parents.parent_executor()) is None:
        return await get_pool().lend(), False
    return await _parent_lease(executor)


async def _parent_lease(executor: CurrentThreadExecutor) -> tuple[Lease, bool]:
    lease = sync_parents.parent_lease(executor)
    if lease.has_left_calls:  # those have its turn
        await _end_left_calls()
    if sync_parents.waits_in_turn(lease, executor):
        return lease, True
    await lease.turn.acquire(get_settings().TIMEOUT)
    lease.executor, lease.loop = executor, asyncio.get_running_loop()
    return lease, False


_end_left_calls = sync_to_async(sync_parents.end_left_calls, thread_sensitive=True)


async def _take_turn(lease: Lease, scope: Scope | None, *, copying: Scope | None = None) -> None:
    if not lease.take_turn_at_once():
        if lease.turn.thread == identify():
            raise RuntimeError(_NESTED_LOOP)
        await lease.take_turn(scope, get_settings().TIMEOUT)
    if lease.copying is None:
        return
    try:
        lease.refuse_beside_copy(copying)
    except InterfaceError:
        lease.turn.release()
        raise


async def _run_once(func: Callable[[], T], *, in_thread: bool = False) -> T:
    """Run ``func`` on the lease that its owner keeps, or on one that is taken for this call alone."""
    if sync_parents.parent_executor() is not None:
        lease, is_guest = await _take_lease()
        ending = KEEP_TURN if is_guest else GIVE_BACK
        return await call_on(lease, lambda _: func(), ending, on_parent=True, subject=func).perform()
    _start()
    owner = owner_here()
    while (lease := owner.pinned) is not None:
        await _take_turn(lease, None)
        if not lease.ended:
            break
        lease.turn.release()
    else:
        lease = await get_pool().lend(owner=owner)
        lease.turn.acquire_at_once()  # no other call knows this lease
    return await call_on(lease, lambda _: func(), GIVE_BACK, in_thread=in_thread, subject=func).perform()


async def _acquire_finally(turn: FifoLock) -> asyncio.CancelledError | None:
    """Wait for the turn without a time limit; return the cancellation that arrived meanwhile, if one did."""
    cancelled = None
    while True:
        try:
            await turn.acquire(None)
        except asyncio.CancelledError as error:
            cancelled = error
        else:
            return cancelled


_NESTED_LOOP = (
    "asyncio.run() was called by synchronous code that has a connection in use, and the new loop's code needs the same "
    "connection: each would wait for the other. Use asgiref's async_to_sync() there, or make the calling code async."
)
