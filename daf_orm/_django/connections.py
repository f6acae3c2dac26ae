"""Let ``django.db.connections`` find the lease of the running hop first, and Django's own connection otherwise."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

from asgiref.sync import SyncToAsync
from django.db import connections as django_connections
from django.db.backends.base.base import BaseDatabaseWrapper

from daf_orm._core.tasks import current_task
from daf_orm._django import bridges, owners
from daf_orm._django.hops import current_hop, on_event_loop, run_as_hop, thread_state
from daf_orm._django.lookup import borrows, lease_here
from daf_orm._django.shared_connections import (
    memory_connections,
    remember_memory,
    shared_connection,
    test_connections,
    test_turn,
)
from daf_orm._django.strays import refuse_stray, report_stray
from daf_orm._django.sync_parents import forget_parent
from daf_orm._leases.leased_wrapper import be_prepared
from daf_orm._leases.scope import is_outside_scopes, next_number
from daf_orm.patches import Patch, PatchTable
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_activation = threading.Lock()


class OrderedCallback:
    """A callback for after the commit, registered by synchronous code in an async block, with its number."""

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
        if (hop := thread_state.hop) is None:
            if is_outside_scopes() and not on_event_loop():
                return self._find_threads_own(alias)  # purely synchronous code takes this short path
            lease = None
            refuse_stray(alias)
        else:
            lease = lease_here(alias, hop)
        if lease is not None:
            assert lease.connections is not None
            wrapper = lease.connections.wrappers.get(alias)
            if wrapper is None and shared_connection(alias) is None:
                held = hop.outermost.held(alias) if hop is not None else None
                wrapper = lease.wrapper(alias) if held is None or held.owner is not lease.owner else lease.attach(held)
            if wrapper is None:
                raise AttributeError(alias)
            return wrapper
        if hop is not None and borrows(hop):
            if (guest := hop.outermost.guest(alias)) is None:
                raise AttributeError(alias)
            return guest.wrapper
        shared = _shared_outside_leases(alias)
        if shared is None:
            return getattr(self._django, alias)
        # As with Django, close_old_connections() sees there only what code on the loop has asked for.
        if on_event_loop() and getattr(self._django, alias) is not shared:
            raise AttributeError(alias)
        return shared

    def _find_threads_own(self, alias: str) -> Any:
        """Return a thread's own connection, remembered here because Django's storage is slower to ask."""
        try:
            return getattr(self._known, alias)
        except AttributeError:
            wrapper = getattr(self._django, alias)
            setattr(self._known, alias, wrapper)
            return wrapper

    def __setattr__(self, alias: str, wrapper: Any) -> None:
        vars(self._known).pop(alias, None)
        hop = current_hop()
        lease = None if hop is None else lease_here(alias, hop)
        if lease is not None:
            assert lease.connections is not None
            assert lease.owner is not None
            shared = shared_connection(alias)
            if shared is not None and wrapper is shared:
                on_return = test_turn.release if test_connections else None
                lease.connections.borrow(alias, wrapper, lease.owner, on_return)
            else:
                lease.attach(lease.owner.add(alias, be_prepared(wrapper)))
        elif hop is not None and borrows(hop):
            hop.outermost.have(hop.outermost.owner.add(alias, be_prepared(wrapper)))
        else:
            setattr(self._django, alias, wrapper)
            report_stray(wrapper)

    def __delattr__(self, alias: str) -> None:
        vars(self._known).pop(alias, None)
        hop = current_hop()
        lease = None if hop is None else lease_here(alias, hop)
        if lease is None:
            if hop is None or not borrows(hop):
                delattr(self._django, alias)
        else:
            assert lease.connections is not None
            lease.connections.forget(alias)


def _create_connection(create: Callable[[str], BaseDatabaseWrapper], alias: str) -> BaseDatabaseWrapper:
    """Make a connection; for in-memory SQLite on a lease, take the one that holds the database."""
    hop = current_hop()
    if hop is not None and (lease := lease_here(alias, hop)) is not None:
        assert lease.connections is not None
        if test_connections and not lease.connections.has_borrowed:
            test_turn.acquire_blocking(get_settings().TIMEOUT)
        fresh: BaseDatabaseWrapper = shared_connection(alias) or create(alias)
        return fresh
    if (shared := _shared_outside_leases(alias)) is not None:
        return shared
    own: BaseDatabaseWrapper = create(alias)
    if hop is None or not borrows(hop):
        remember_memory(alias, own)
    return own


def _shared_outside_leases(alias: str) -> BaseDatabaseWrapper | None:
    """Return the shared connection for code without a lease too: bare hops in a test, and code that may block the loop.

    Django itself would open another connection there, to the test's tables without its rows, or to an empty memory.
    """
    if test_connections and (current_hop() is not None or on_event_loop()):
        if (hop := current_hop()) is not None:
            hop.take_turn_in_test()
        return test_connections.get(alias)
    if memory_connections.get(alias) and on_event_loop():
        wrapper = shared_connection(alias)
        return wrapper if wrapper is not None and wrapper._thread_ident == threading.get_ident() else None  # type: ignore[attr-defined]
    return None


class _ThreadHandler:
    """Replaces asgiref's method: looked up on the event loop, in the task whose code is sent to a thread."""

    def __init__(self, handler: Any) -> None:
        self.__wrapped__ = handler

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return functools.partial(_handle, self.__wrapped__, current_task(), instance)


def _handle(handler: Any, task: asyncio.Task[Any] | None, instance: Any, *args: Any, **kwargs: Any) -> Any:
    return run_as_hop(functools.partial(handler, instance, *args, **kwargs), task, args[0])


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
        owner=SyncToAsync, name="thread_handler", wrapper=_ThreadHandler, why="code sent to a worker thread is a hop"
    ),
)


def handles_hops_of(handler: Any) -> bool:
    """Return True if asgiref's hops go through ``handler``, its own method, and DAF's, but no other."""
    found = vars(SyncToAsync)["thread_handler"]
    return type(found) is _ThreadHandler and found.__wrapped__ is handler


def is_active() -> bool:
    """Return True if ``django.db.connections`` sees leases."""
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
                remember_memory(alias, wrapper)
        owners.PATCHES.activate()
        PATCHES.activate()  # the last, because is_active() must mean that all of it is active


def deactivate() -> None:
    """Restore Django and asgiref."""
    with _activation:
        PATCHES.deactivate()
        bridges.PATCHES.deactivate()
        owners.PATCHES.deactivate()


def forget() -> None:
    """Reset state in the child of a fork: this thread has no hop, and locks may be held by the parent process."""
    global _activation  # noqa: PLW0603
    _activation = threading.Lock()
    thread_state.hop = None
    forget_parent()
