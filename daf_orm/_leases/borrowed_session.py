"""The session of a connection that leases borrow: what owners set on it is taken away between their calls."""

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
    """What a borrowed wrapper looks like: what neither Django nor :mod:`daf_orm._leases.reset` sees to."""

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        self.values = {name: value for name, value in vars(wrapper).items() if name not in DJANGOS}
        self.execute_wrappers = list(wrapper.execute_wrappers)
        self.force_debug_cursor = wrapper.force_debug_cursor

    def put_on(self, wrapper: BaseDatabaseWrapper) -> None:
        """Let the wrapper look like that again."""
        if wrapper.execute_wrappers != self.execute_wrappers:
            wrapper.execute_wrappers[:] = self.execute_wrappers
        wrapper.force_debug_cursor = self.force_debug_cursor
        values = vars(wrapper)
        for name in values.keys() - self.values.keys() - DJANGOS:
            if not isinstance(getattr(type(wrapper), name, None), cached_property):
                del values[name]
        values.update(self.values)


class Changes:
    """What an owner has set on a borrowed wrapper."""

    def __init__(self, before: _Attributes, after: _Attributes) -> None:
        missing = object()
        self._values = {
            name: value for name, value in after.values.items() if before.values.get(name, missing) is not value
        }
        self._execute_wrappers = [each for each in after.execute_wrappers if each not in before.execute_wrappers]
        self._force_debug_cursor = after.force_debug_cursor and not before.force_debug_cursor
        self.of_session: Any = None
        """What ``Database.apply`` sets again; None if nothing was set."""
        self.options: tuple[Any, ...] = ()
        """Of the driver's connection, as its owner has left them."""

    def put_on(self, wrapper: BaseDatabaseWrapper) -> None:
        """Set it again."""
        vars(wrapper).update(self._values)
        wrapper.execute_wrappers.extend(self._execute_wrappers)
        wrapper.force_debug_cursor = wrapper.force_debug_cursor or self._force_debug_cursor


class BorrowedSession:
    """Watches a wrapper that stays open whatever happens: a test's, or the only one of an in-memory database.

    Others have it between two calls of an owner's. What the owner has set is taken away then, and set again after.
    ``kept`` is how its owner has left it, when it had it last; None if it has not had it.
    """

    def __init__(self, wrapper: BaseDatabaseWrapper, kept: Changes | None) -> None:
        self.snapshot: Any = None
        """What was there before its owner set something; None if it has not."""
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
        """Look at a statement, as an execute wrapper: before the first that may leave something, note what is there."""
        if self.snapshot is None and self._database.effect_of(self._wrapper, sql) is not Effect.NONE:
            self.snapshot = self._database.snapshot(self._wrapper)
        return execute(sql, *arguments)

    def leave(self) -> Changes:
        """Let the wrapper look as it did before. Return what its owner will find when it has it again. May raise."""
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
        """Restore what the session was at first. May raise."""
        if self.snapshot is not None and self._wrapper.connection is not None:
            self._database.restore(self._wrapper, self.snapshot)
            self.snapshot = None
