"""Let async code in a test see the test's transaction, and be rolled back with it. Report connections left open.

Django's ``TestCase``, and with it pytest-django's ``db``, opens a transaction on its thread's connections and rolls it
back after the test. While it is open, every lease borrows those connections. This holds for tests that an event loop
runs in the same thread (pytest-asyncio, anyio). Where ``async_to_sync`` runs them, this changes nothing.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from django.db.backends.base.creation import BaseDatabaseCreation
from django.test import TestCase

from daf_orm._django import connections as leased_connections
from daf_orm._django import shared_connections, strays
from daf_orm._pool.process_pool import current_pool, reset_pool
from daf_orm.patches import Patch, PatchTable

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("daf_orm")


def _sharing(enter_atomics: classmethod[Any, ..., Any]) -> classmethod[Any, ..., Any]:
    def enter_and_share(cls: type[TestCase]) -> Any:
        atomics = enter_atomics.__func__(cls)
        shared_connections.share_test_connections()
        return atomics

    return classmethod(enter_and_share)


def _unsharing(rollback_atomics: classmethod[Any, ..., Any]) -> classmethod[Any, ..., Any]:
    def unshare_and_rollback(cls: type[TestCase], atomics: Any) -> None:
        _report_leases("A test ends")
        shared_connections.unshare_test_connections()
        rollback_atomics.__func__(cls, atomics)

    return classmethod(unshare_and_rollback)


def _closing(destroy_test_db: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(destroy_test_db)
    def close_and_destroy(self: Any, *args: Any, **kwargs: Any) -> Any:
        _report_leases("The test databases are destroyed")
        reset_pool()
        for wrapper, origin in strays.stray_connections():
            logger.warning("Connection %r, opened at %s, was still open when the tests ended.", wrapper.alias, origin)
            wrapper.inc_thread_sharing()
            wrapper.close()
        return destroy_test_db(self, *args, **kwargs)

    return close_and_destroy


def _report_leases(event: str) -> None:
    """Log where leases are held at the end of a test: by tasks that were left behind."""
    pool = current_pool()
    if pool is not None and (holders := pool.holders()):
        logger.warning("%s while connections are lent: %s. Wait for every task in the test.", event, ", ".join(holders))


PATCHES = PatchTable(
    Patch(owner=TestCase, name="_enter_atomics", wrapper=_sharing, why="a test's transaction begins here"),
    Patch(owner=TestCase, name="_rollback_atomics", wrapper=_unsharing, why="a test's transaction ends here"),
    Patch(owner=BaseDatabaseCreation, name="destroy_test_db", wrapper=_closing, why="no connection may be open here"),
)


def activate() -> None:
    """Let tests share their connections with leases. Idempotent."""
    leased_connections.activate()
    PATCHES.activate()


def is_active() -> bool:
    """Return True if tests share their connections with leases."""
    return PATCHES.is_active


def deactivate() -> None:
    """Restore Django."""
    PATCHES.deactivate()
