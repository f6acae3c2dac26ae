"""The process's pool: made from ``DAF_ORM`` at its first use, and again when settings change or the process forks."""

from __future__ import annotations

import atexit
import contextvars
import logging
import os
import threading
from typing import TYPE_CHECKING

from django.apps import apps
from django.core.signals import setting_changed
from django.db import connections as django_connections
from django.utils.module_loading import import_string

from daf_orm._django import connections as leased_connections
from daf_orm._django import hops, shared_connections
from daf_orm._leases.past_django import sends_unseen_statements
from daf_orm._pool.pool import ConnectionPool
from daf_orm.databases import database_of
from daf_orm.settings import DEFAULT_MAX_SIZE, Settings, get_settings

if TYPE_CHECKING:
    import asyncio

    from django.db.backends.base.base import BaseDatabaseWrapper

    from daf_orm._leases.lease import Lease
    from daf_orm._leases.owner import Owner

logger = logging.getLogger("daf_orm")
_pool: ConnectionPool | None = None
_pool_lock = threading.Lock()


def _lend_to_thread(owner: Owner, loop: asyncio.AbstractEventLoop) -> Lease:
    with hops.outside_hops():  # making the pool looks at the thread's own connections
        pool = get_pool()
    return pool.lend_to_thread(owner, loop)


hops.lend_to_thread = _lend_to_thread


def get_pool() -> ConnectionPool:
    """Return the process's pool, made from ``DAF_ORM`` at the first call."""
    global _pool  # noqa: PLW0603 - one pool per process is the design
    pool = _pool
    if pool is not None and pool.in_test == shared_connections.in_test():
        return pool
    with _pool_lock:
        if _pool is not None and _pool.in_test != shared_connections.in_test():
            _pool.close()
            _pool = None
        if _pool is None:
            if apps.ready and not apps.is_installed("daf_orm"):
                logger.warning(
                    '"daf_orm" is not in INSTALLED_APPS: Django\'s own a… methods are unchanged, and '
                    "nothing checks the DAF_ORM setting."
                )
            leased_connections.activate()
            setting_changed.connect(_reset_on_change, dispatch_uid="daf_orm._pool.process_pool")
            # In a copy: Django keeps the connections that are looked at in the context, as if the caller used them.
            _pool = contextvars.copy_context().run(_from_settings, get_settings())
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
    if shared_connections.in_test() or memory_aliases():
        return 1
    return settings.MAX_SIZE or DEFAULT_MAX_SIZE


def _runs_on_event_loop(wrapper: BaseDatabaseWrapper) -> bool:
    """Return True if a connection can wait on an event loop. Those of ``OPTIONS["pool"]`` are psycopg's own."""
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
    """Close the pool, if there is one; the next call makes a new one from the current settings."""
    global _pool
    with _pool_lock:
        pool, _pool = _pool, None
    if pool is not None:
        pool.close()


def _reset_on_change(*, setting: str, **_: object) -> None:
    if setting in {"DAF_ORM", "DATABASES", "TIME_ZONE", "USE_TZ"}:  # connections have a time zone
        reset_pool()


def _close_at_exit() -> None:
    if _pool is not None:
        _pool.close()


def _forget_after_fork() -> None:
    global _pool, _pool_lock
    leased_connections.forget()
    if _pool is not None:
        _pool.forget()
    _pool, _pool_lock = None, threading.Lock()  # the lock may have been held in the parent


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
