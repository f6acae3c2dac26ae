"""The session of one connection on a lease: what its owner may have left there, and how it becomes clean again.

State lives in three places. The server's session is changed by statements: each is looked at before it is sent. The
driver's connection and Django's wrapper have attributes: they are compared when the lease ends.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Final

from django.db.backends.signals import connection_created

from daf_orm.databases import database_of
from daf_orm.databases.cancellation import cut_off_if_silent
from daf_orm.databases.statements import Effect

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper


class _Attributes:
    """What Django's wrapper looks like while it is clean."""

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        self._wrapper = wrapper
        self._values = self.found()
        self._execute_wrappers = list(wrapper.execute_wrappers)
        self._force_debug_cursor = wrapper.force_debug_cursor

    def found(self) -> dict[str, Any]:
        """Return the attributes that neither Django nor :mod:`daf_orm._leases.reset` sees to."""
        return {name: value for name, value in vars(self._wrapper).items() if name not in _DJANGOS}

    def keep_new(self, before: dict[str, Any]) -> None:
        """Take for clean what has been set since: by connecting, as SQLite's transaction mode."""
        self._values |= {
            name: value for name, value in self.found().items() if name not in before or before[name] is not value
        }

    def restore(self) -> None:
        """Undo what has been set."""
        wrapper = self._wrapper
        if wrapper.execute_wrappers != self._execute_wrappers:
            wrapper.execute_wrappers[:] = self._execute_wrappers
        wrapper.force_debug_cursor = self._force_debug_cursor
        for name in self.found().keys() - self._values.keys():
            if not hasattr(type(wrapper), name):  # a cached property may stay
                del vars(wrapper)[name]
        vars(wrapper).update(self._values)


class Session:
    """Watches a wrapper that the pool keeps."""

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        self._wrapper = wrapper
        self._database = database_of(wrapper)
        self._effect = Effect.NONE
        self._options: tuple[Any, ...] = ()
        self._attributes = _Attributes(wrapper)

    def begin(self) -> None:
        """Take the wrapper as it is now for clean: it has been made fit for the pool."""
        self._attributes = _Attributes(self._wrapper)

    def connect(self, connect: Callable[[], None]) -> None:
        """Connect; note how the driver's connection is set, and what receivers of ``connection_created`` do."""
        self._effect, before = Effect.NONE, self._attributes.found()
        connect()
        if not _has_receivers():  # what was sent is Django's own: each new connection has it
            self._effect = Effect.NONE
        self._attributes.keep_new(before)
        self._database.learn(self._wrapper)
        self._options = self._database.options_of(self._wrapper.connection)

    def look_at(self, sql: Any) -> None:
        """Look at a statement that is about to be sent."""
        if self._effect is not Effect.UNKNOWN:
            self._effect = max(self._effect, self._database.effect_of(self._wrapper, sql))

    def start_lease(self) -> None:
        """Tell receivers of ``connection_created`` of an owner that is lent a connection which is open already."""
        if self._wrapper.connection is None:
            return
        self._database.learn(self._wrapper)
        if _has_receivers():
            connection_created.send(sender=type(self._wrapper), connection=self._wrapper)
            self._options = self._database.options_of(self._wrapper.connection)

    def clean(self) -> bool:
        """Make the session what it was at first. False if the connection has to be closed. May raise."""
        self._attributes.restore()
        self._database.end_lease(self._wrapper)
        effect, self._effect = self._effect, Effect.NONE
        if self._wrapper.connection is None:
            return True
        if self._options != self._database.options_of(self._wrapper.connection):
            return False
        if effect is Effect.NONE:
            return True
        if effect is Effect.UNKNOWN:
            return False
        with cut_off_if_silent(self._wrapper):
            return self._database.reset(self._wrapper)


class BorrowedSession:
    """Watches a wrapper that stays open whatever happens: a test's, or the only one of an in-memory database."""

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        self._wrapper = wrapper
        self._database = database_of(wrapper)
        self._attributes = _Attributes(wrapper)
        self._snapshot: Any = None
        wrapper.execute_wrappers.insert(0, self._execute)

    def _execute(self, execute: Any, sql: str, *arguments: Any) -> Any:
        """Look at a statement, as an execute wrapper: before the first that may leave something, note what is there."""
        if self._snapshot is None and self._database.effect_of(self._wrapper, sql) is not Effect.NONE:
            self._snapshot = self._database.snapshot(self._wrapper)
        return execute(sql, *arguments)

    def clean(self) -> None:
        """Restore what was there. May raise."""
        self._attributes.restore()
        if self._snapshot is not None and self._wrapper.connection is not None:
            self._database.restore(self._wrapper, self._snapshot)


_DJANGOS: Final = frozenset(
    """
    connection settings_dict alias queries_log force_debug_cursor autocommit in_atomic_block savepoint_state
    savepoint_ids atomic_blocks commit_on_exit needs_rollback rollback_exc close_at closed_in_transaction
    errors_occurred health_check_enabled health_check_done _thread_sharing_lock _thread_sharing_count _thread_ident
    run_on_commit run_commit_hooks_on_set_autocommit_on execute_wrappers _named_cursor_idx
    """.split()
)
"""Attributes of a wrapper that Django changes itself, and that :mod:`daf_orm._leases.reset` sees to."""


def _has_receivers() -> bool:
    """Return True if code other than Django's wants to know of new connections."""
    return any(not _is_djangos(entry[1]) for entry in connection_created.receivers)


def _is_djangos(receiver: Any) -> bool:
    target = receiver() if isinstance(receiver, weakref.ReferenceType) else receiver
    return target is None or str(getattr(target, "__module__", "")).startswith("django.")
