"""The session of a connection that leases borrow: an owner's changes are removed between its calls."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from django.utils.functional import cached_property

from daf_orm._leases.attributes import DJANGOS
from daf_orm.databases import database_of
from daf_orm.databases.statements import Effect

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class _Attributes:
    """A borrowed wrapper's attributes, without those that Django and :mod:`daf_orm._leases.reset` handle."""

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        self.values = {name: value for name, value in vars(wrapper).items() if name not in DJANGOS}
        self.execute_wrappers = list(wrapper.execute_wrappers)
        self.force_debug_cursor = wrapper.force_debug_cursor

    def put_on(self, wrapper: BaseDatabaseWrapper) -> None:
        """Restore the wrapper's attributes."""
        if wrapper.execute_wrappers != self.execute_wrappers:
            wrapper.execute_wrappers[:] = self.execute_wrappers
        wrapper.force_debug_cursor = self.force_debug_cursor
        values = vars(wrapper)
        for name in values.keys() - self.values.keys() - DJANGOS:
            if not isinstance(getattr(type(wrapper), name, None), cached_property):
                del values[name]
        values.update(self.values)


class Changes:
    """An owner's changes to a borrowed wrapper."""

    def __init__(self, before: _Attributes, after: _Attributes) -> None:
        missing = object()
        self._values = {
            name: value for name, value in after.values.items() if before.values.get(name, missing) is not value
        }
        self._execute_wrappers = [each for each in after.execute_wrappers if each not in before.execute_wrappers]
        self._force_debug_cursor = after.force_debug_cursor and not before.force_debug_cursor
        self.of_session: Any = None
        """The argument for ``Database.apply``; None if the session was not changed."""
        self.options: tuple[Any, ...] = ()
        """Options of the driver's connection, as its owner has left them."""

    def put_on(self, wrapper: BaseDatabaseWrapper) -> None:
        """Make the changes again."""
        vars(wrapper).update(self._values)
        wrapper.execute_wrappers.extend(self._execute_wrappers)
        wrapper.force_debug_cursor = wrapper.force_debug_cursor or self._force_debug_cursor


class BorrowedSession:
    """Watches a wrapper that always stays open: a test's, or the only one of an in-memory database.

    Between two calls of an owner other owners use it. The owner's changes are removed then, and made again later.
    ``kept`` has the changes of its owner's last use; None if there was none.
    """

    def __init__(self, wrapper: BaseDatabaseWrapper, kept: Changes | None) -> None:
        self.snapshot: Any = None
        """The session's state before its owner changed it; None if it has not."""
        self._wrapper = wrapper
        self._database = database_of(wrapper)
        self._attributes = _Attributes(wrapper)
        self._options = self._database.options_of(wrapper.connection)
        if kept is not None:
            if wrapper.connection is not None:
                self._set_again(kept)
            kept.put_on(wrapper)
        wrapper.execute_wrappers.insert(0, self._execute)

    def _set_again(self, kept: Changes) -> None:
        try:
            if kept.of_session is not None:
                self.snapshot = self._database.snapshot(self._wrapper)
                with self._wrapper.wrap_database_errors:
                    self._database.apply(self._wrapper, kept.of_session)
            self._set_options(kept.options)
        except BaseException:
            self.restore()
            raise

    def _set_options(self, values: tuple[Any, ...]) -> None:
        connection: Any = self._wrapper.connection
        now = self._database.options_of(connection)
        for name, value, current in zip(self._database.driver_options, values, now, strict=False):
            if value is not current:
                setattr(connection, name, value)

    def _execute(self, execute: Any, sql: str, *arguments: Any) -> Any:
        """Take a snapshot before the first statement that may change the session. An execute wrapper."""
        if self.snapshot is None and self._database.effect_of(self._wrapper, sql) is not Effect.NONE:
            self.snapshot = self._database.snapshot(self._wrapper)
        return execute(sql, *arguments)

    def leave(self) -> Changes:
        """Restore the wrapper. Return the changes, which its owner gets back with its next use. May raise."""
        wrapper = self._wrapper
        with contextlib.suppress(ValueError):  # its owner has removed it
            wrapper.execute_wrappers.remove(self._execute)
        changes = Changes(self._attributes, _Attributes(wrapper))
        self._attributes.put_on(wrapper)
        if wrapper.connection is not None:
            changes.options = self._database.options_of(wrapper.connection)
            self._set_options(self._options)
            if self.snapshot is not None:
                changes.of_session = self._database.changes_since(wrapper, self.snapshot)
        return changes

    def restore(self) -> None:
        """Restore the session's first state. May raise."""
        if self.snapshot is not None and self._wrapper.connection is not None:
            self._database.restore(self._wrapper, self.snapshot)
            self.snapshot = None
