"""Let async code in a test see the test's transaction, and be rolled back with it; leave no connection behind.

Django's ``TestCase``, and with it pytest-django's ``db``, opens a transaction on its thread's connections and rolls it
back after the test. While it is open, every lease borrows those connections. This holds for tests that an event loop
runs in the same thread (pytest-asyncio, anyio); where ``async_to_sync`` runs them, there is nothing to do.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

from django.db.backends.base.creation import BaseDatabaseCreation
from django.test import TestCase

from daf_orm._django import connections as leased_connections
from daf_orm._pool.pool import current_pool, reset_pool

logger = logging.getLogger("daf_orm")

# Private names of Django's: the two places where a test's transaction begins and ends.
_enter_atomics = TestCase._enter_atomics.__func__  # type: ignore[attr-defined] # noqa: SLF001
_rollback_atomics = TestCase._rollback_atomics.__func__  # type: ignore[attr-defined] # noqa: SLF001
_destroy_test_db = BaseDatabaseCreation.destroy_test_db


def _enter_and_share(cls: type[TestCase]) -> Any:
    atomics = _enter_atomics(cls)
    leased_connections.share_test_connections()
    return atomics


def _unshare_and_rollback(cls: type[TestCase], atomics: Any) -> None:
    _report_leases("A test ends")
    leased_connections.unshare_test_connections()
    _rollback_atomics(cls, atomics)


@functools.wraps(_destroy_test_db)
def _close_and_destroy(self: Any, *args: Any, **kwargs: Any) -> Any:
    _report_leases("The test databases are destroyed")
    reset_pool()
    for wrapper, origin in leased_connections.stray_connections():
        logger.warning("Connection %r, opened at %s, was still open when the tests ended.", wrapper.alias, origin)
        wrapper.inc_thread_sharing()
        wrapper.close()
    return _destroy_test_db(self, *args, **kwargs)


def _report_leases(event: str) -> None:
    """A lease that is out now is a task that was left behind: name where it came from."""
    pool = current_pool()
    if pool is not None and (holders := pool.holders()):
        logger.warning("%s while connections are lent: %s. Wait for every task in the test.", event, ", ".join(holders))


def activate() -> None:
    """Let tests share their connections with leases. Idempotent."""
    leased_connections.activate()
    TestCase._enter_atomics = classmethod(_enter_and_share)  # type: ignore[attr-defined] # noqa: SLF001
    TestCase._rollback_atomics = classmethod(_unshare_and_rollback)  # type: ignore[attr-defined] # noqa: SLF001
    BaseDatabaseCreation.destroy_test_db = _close_and_destroy  # type: ignore[method-assign]


def deactivate() -> None:
    """Put Django back as it was."""
    TestCase._enter_atomics = classmethod(_enter_atomics)  # type: ignore[attr-defined] # noqa: SLF001
    TestCase._rollback_atomics = classmethod(_rollback_atomics)  # type: ignore[attr-defined] # noqa: SLF001
    BaseDatabaseCreation.destroy_test_db = _destroy_test_db  # type: ignore[method-assign]
