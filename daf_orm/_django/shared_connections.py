"""Connections that leases borrow instead of having their own: a running test's, and in-memory SQLite's."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from django.db import connections as django_connections

from daf_orm._core.locks import FifoLock
from daf_orm.databases import database_of

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

memory_connections: dict[str, weakref.WeakSet[BaseDatabaseWrapper]] = {}
test_connections: dict[str, BaseDatabaseWrapper] = {}
_tests_sharing = 0
test_turn = FifoLock()
"""Held by the lease, or the hop without one, that uses a test's connections now."""


def shared_connection(alias: str) -> BaseDatabaseWrapper | None:
    """Return the connection that leases borrow: a running test's, or a memory database's. None if there is none."""
    if (of_test := test_connections.get(alias)) is not None:
        return of_test
    for wrapper in tuple(memory_connections.get(alias, ())):
        if wrapper.connection is not None and database_of(wrapper).has_it_alone(wrapper):
            return wrapper
    return None


def share_test_connections() -> None:
    """Let every lease use this thread's connections from now on: those of a test, which rolls them back. May nest."""
    global _tests_sharing  # noqa: PLW0603 - one test at a time per process
    _tests_sharing += 1
    if _tests_sharing == 1:
        for alias in django_connections:
            wrapper = django_connections[alias]
            wrapper.inc_thread_sharing()
            test_connections[alias] = wrapper


def unshare_test_connections() -> None:
    """Undo :func:`share_test_connections`."""
    global _tests_sharing  # noqa: PLW0603
    _tests_sharing -= 1
    while not _tests_sharing and test_connections:
        test_connections.popitem()[1].dec_thread_sharing()


def in_test() -> bool:
    """Return True if leases use a test's connections."""
    return bool(test_connections)


def remember_memory(alias: str, wrapper: BaseDatabaseWrapper) -> None:
    # Only the main thread's connection counts: tests and scripts create the tables there. The database's name does not,
    # because a test runner renames a database to its in-memory twin later on.
    if database_of(wrapper).may_live_in_memory and threading.current_thread() is threading.main_thread():
        memory_connections.setdefault(alias, weakref.WeakSet()).add(wrapper)
