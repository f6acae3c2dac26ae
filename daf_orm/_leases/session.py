"""The session of one pooled connection: the state that its owner may have left there, and its cleaning.

The pool keeps drivers' connections, and no Django wrappers: a :class:`Session` is attached to the wrapper of the owner
that it is lent to. Statements are checked before they are sent, for their effect on the server's session. The options
of the driver's connection are compared when the lease ends. Attributes of the wrapper stay with its owner.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from typing import TYPE_CHECKING, Any, Final

from django.db import InterfaceError, NotSupportedError
from django.db.backends.signals import connection_created
from django.utils.functional import cached_property

from daf_orm._leases import reset
from daf_orm._leases.attributes import has_foreign_receivers, is_of, set_on_connecting
from daf_orm._leases.leased_wrapper import be_prepared, guest_of, lease_settings
from daf_orm._leases.past_django import sends_unseen_statements, watch_connection
from daf_orm._leases.wrapper_template import template_of
from daf_orm.databases import database_of
from daf_orm.databases.cancellation import cut_off_if_silent
from daf_orm.databases.server_pooling import Kind
from daf_orm.databases.statements import Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper

    from daf_orm._leases.wrapper_template import WrapperTemplate


class Session:
    """A driver's connection, which any wrapper of its alias can use, one at a time."""

    def __init__(
        self, wrapper: BaseDatabaseWrapper, origin: dict[str, Any] | None = None, *, server_pooled: bool = False
    ) -> None:
        self.alias = wrapper.alias
        self.settings = dict(wrapper.settings_dict)
        """The settings with which the connection was opened."""
        self.origin = origin
        """The alias's entry in ``DATABASES``."""
        self.watched_of_cursor = database_of(wrapper).watched_of_cursor
        self.connection: Any = None
        """The driver's connection while no wrapper has it."""
        self.wrapper: BaseDatabaseWrapper | None = None
        """The wrapper that has the connection."""
        self.is_touched = False
        """True if its owner has to get this very connection again."""
        self.opened = 0.0
        """The time at which the connection was opened, by ``time.monotonic()``."""
        self.sqlite_waits: tuple[Any, float] = (None, 0.0)
        """A connection, and the seconds that SQLite itself waits for a lock on it."""
        self.configured: dict[str, Any] = {}
        """The settings that ``CONFIGURE`` has made."""
        self._effect = Effect.NONE
        self._before: Any = None  # its owner's first change, where the database can tell that the change is undone
        self._type = type(wrapper)
        self._template: WrapperTemplate | None = None
        self._has_template = True
        self._database = database_of(wrapper)
        self.is_server_pooled = server_pooled and self._database.can_be_pooled_by_server
        """True if each transaction may be in another session of the server."""
        self._is_transaction_configured = False
        self._sends_unseen = sends_unseen_statements(wrapper)
        self._options: tuple[Any, ...] = ()
        self._autocommit = False
        self._attributes: dict[str, Any] = {}  # that the backend sets on a wrapper when it connects
        self._facts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})  # of the wrapper, of its features
        self._lengths = (0, 0)
        self._is_new = False

    def attach(self, wrapper: BaseDatabaseWrapper) -> None:
        """Give a wrapper the connection, if there is one; else the wrapper will open one."""
        self.wrapper = wrapper
        if self.connection is None:
            return
        wrapper.connection, self.connection = self.connection, None
        wrapper.autocommit = self._autocommit
        attributes, features = self._facts
        values = vars(wrapper)
        values.update(self._attributes)
        values.update(attributes)
        if features:
            vars(wrapper.features).update(features)

    def detach(self) -> BaseDatabaseWrapper | None:
        """Take the connection from its wrapper. Return the wrapper."""
        wrapper, self.wrapper = self.wrapper, None
        if wrapper is None:
            return None
        self.connection, wrapper.connection = wrapper.connection, None
        self._autocommit = wrapper.autocommit
        wrapper.closed_in_transaction = wrapper.errors_occurred = wrapper.needs_rollback = False
        if self.connection is not None:
            self._learn_facts(wrapper)
        return wrapper

    def _learn_facts(self, wrapper: BaseDatabaseWrapper) -> None:
        """Keep the server's facts that Django has asked for, so that no other owner has to ask again.

        Those known stay as they are: an owner may have set another value on its wrapper.
        """
        lengths = len(vars(wrapper)), len(vars(wrapper.features))
        if lengths == self._lengths:
            return
        self._lengths = lengths
        for facts, found in zip(self._facts, (wrapper, wrapper.features), strict=True):
            facts |= {
                name: value
                for name, value in vars(found).items()
                if name not in facts
                and name not in self._attributes
                and isinstance(getattr(type(found), name, None), cached_property)
                and not is_of(value, wrapper)
            }

    def new_wrapper(self, settings: dict[str, Any]) -> BaseDatabaseWrapper | None:
        """Return a new wrapper for a lease, if the alias still has these settings."""
        if settings is not self.origin:
            return None
        if self._has_template and (self._template is None or not self._template.fits(settings, self._attributes)):
            self._template = template_of(self._type, settings, self.alias, self._attributes)
            self._has_template = self._template is not None  # else each request would ask its backend again
        return be_prepared(self._type(settings, self.alias)) if self._template is None else self._template.make()

    @contextlib.contextmanager
    def housekeeping(self) -> Iterator[BaseDatabaseWrapper]:
        """Give the connection to a wrapper without an owner, for the block."""
        wrapper = self._type(self.settings, self.alias)
        wrapper.inc_thread_sharing()
        self.attach(wrapper)
        try:
            yield wrapper
        finally:
            self.detach()

    @property
    def is_open(self) -> bool:
        """True if there is a connection, attached or not."""
        return self.connection is not None or (self.wrapper is not None and self.wrapper.connection is not None)

    def connect(self, connect: Callable[[], None]) -> None:
        """Connect; record the driver's options, and the effect of ``connection_created`` receivers."""
        wrapper = self.wrapper
        assert wrapper is not None
        before = dict(vars(wrapper))
        self.forget()
        self._is_new = True
        try:
            connect()
        finally:
            self._is_new = False
        if not has_foreign_receivers():  # only Django has sent statements, which each new connection gets
            self._effect = Effect.NONE
        self.settings = dict(wrapper.settings_dict)
        if self.origin is not None and self.settings != lease_settings(self._type(self.origin, self.alias)):
            self.is_touched, self._effect = True, Effect.UNKNOWN  # its owner has changed the settings, for itself only
        self._attributes = set_on_connecting(wrapper, before)
        self.opened = time.monotonic()
        self._database.note_opened(wrapper)
        self._database.learn(wrapper)
        watch_connection(wrapper, self, self._database.watched_of_connection)
        self._options = self._database.options_of(wrapper.connection)

    def leave_to_parent(self) -> None:
        """Forget the connection in the child of a fork: it is the parent process's."""
        if self.connection is not None:
            self._database.leave_to_parent(self.connection)

    def forget(self) -> None:
        """Forget the state of a connection that is gone."""
        self._effect, self.is_touched, self._before = Effect.NONE, False, None
        self.configured = {}
        self._facts = ({}, {})

    def look_at(self, sql: Any) -> bool:
        """Check a statement before it is sent. Return True if its owner has to keep the session for it.

        Raises InterfaceError for one that needs a session where ``SERVER_POOLED`` is set.
        """
        assert self.wrapper is not None
        if self.is_server_pooled:
            kind, problem = self._database.judge(self.wrapper, sql)
            if problem and not self._is_new and (kind is not Kind.CONTROL or self.configured):
                raise InterfaceError(_SERVER_POOLED.format(problem=problem.format(alias=self.alias)))
            return False
        effect = self._database.effect_of(self.wrapper, sql)
        if effect is Effect.NONE:
            if not self._sends_unseen:
                return False
            effect = Effect.RESETTABLE
        if self._effect is Effect.NONE and not self._is_new:
            self._before = None if self._sends_unseen else self._database.comparable_state(self.wrapper)
        self._effect = max(self._effect, effect)
        return not self._is_new

    def has(self, connection: Any) -> bool:
        """Return True if it has this very connection of the driver, attached or not."""
        return connection is not None and (
            self.connection is connection or (self.wrapper is not None and self.wrapper.connection is connection)
        )

    def use_past_django(self, connection: Any, sql: Any) -> None:
        """Let the owner keep the session before other code than Django's uses the driver's connection.

        ``sql`` is the statement, if that is known. Raises InterfaceError if the connection is not the caller's.
        """
        if self._is_new:  # a receiver of connection_created, whose statements are initial state
            return
        wrapper = self.wrapper
        guest = None if wrapper is None else guest_of(wrapper)
        if guest is not None and wrapper is not None and wrapper.connection is connection:
            guest.use_past_django(sql)
        elif self.connection is connection:
            raise InterfaceError(
                f"The driver's connection of {self.alias!r} was used after the call that had taken it. Take "
                "django.db.connection.connection where you use it, and keep it no longer than the call."
            )

    def start_lease(self) -> bool:
        """Check the connection before its first use on a lease. False if it had died, and is closed."""
        wrapper = self.wrapper
        if wrapper is None or wrapper.connection is None:
            return True
        if reset.has_died(wrapper):
            reset.close(wrapper)
            return False
        if wrapper.settings_dict.get("CONN_HEALTH_CHECKS"):
            wrapper.health_check_enabled, wrapper.health_check_done = True, False  # type: ignore[attr-defined]
        self._database.learn(wrapper)
        if has_foreign_receivers():  # the signal is sent for each owner
            self._is_new = True
            try:
                connection_created.send(sender=type(wrapper), connection=wrapper)
            finally:
                self._is_new = False
            self._options = self._database.options_of(wrapper.connection)
        return True

    def configure(self, values: Mapping[str, Any]) -> None:
        """Apply the settings of ``CONFIGURE`` that the connection does not have yet. Outside transactions."""
        wrapper = self.wrapper
        assert wrapper is not None
        if not self._database.takes_settings:
            return
        wanted = {name: None if value is None else str(value) for name, value in values.items()}
        if self.is_server_pooled:
            self.configured = wanted
            self.end_transaction()
            return
        wanted |= dict.fromkeys(self.configured.keys() - wanted.keys())
        changes = {name: value for name, value in wanted.items() if self.configured.get(name, _UNKNOWN) != value}
        if changes:
            self.configured |= dict.fromkeys(changes, _UNKNOWN)  # in case the statement fails
            self._database.configure(wrapper, changes)
            if wrapper.autocommit:  # else a rollback would revert them
                self.configured |= changes

    def execute(self, sql: Any, execute: Callable[[], Any], *, many: bool = False) -> Any:
        """Execute a statement; in a transaction with the settings of ``CONFIGURE`` if those cannot be made before.

        If an ALTER has made a prepared plan stale, the statement is planned again, unless it may have had an effect.
        In that case its error is raised, and the connection is not lent again.
        """
        try:
            return self._execute_configured(sql, execute)
        except NotSupportedError as error:
            if not self._database.has_stale_plan(error):
                raise
            wrapper = self.wrapper
            assert wrapper is not None
            is_repeatable = not (many or self.is_touched) and self._database.may_repeat(sql)
            if not is_repeatable or self._database.in_transaction(wrapper):  # the error has ended the transaction
                self.lose_track()
                raise
            traceback.clear_frames(error.__traceback__)  # the error lives on as garbage, and with it the cursor
            self._database.forget_plans(wrapper)
            return self._execute_configured(sql, execute)

    def _execute_configured(self, sql: Any, execute: Callable[[], Any]) -> Any:
        if not self.is_server_pooled or not self.configured:
            return execute()
        wrapper = self.wrapper
        assert wrapper is not None
        kind = self._database.judge(wrapper, sql).kind
        if kind is Kind.CONTROL:
            try:
                return execute()
            finally:
                self.end_transaction()
        if kind is Kind.PLAIN:
            return execute()
        if not self._database.in_transaction(wrapper):
            self.end_transaction()
            if wrapper.autocommit:
                with wrapper.wrap_database_errors, wrapper.connection.transaction():
                    self._database.configure_transaction(wrapper, self.configured)
                    return execute()
        if not self._is_transaction_configured:
            self._database.configure_transaction(wrapper, self.configured)
            self._is_transaction_configured = True
        return execute()

    def end_transaction(self) -> None:
        """Record that the next statement may be in another transaction."""
        self._is_transaction_configured = False

    def begin_copy(self) -> None:
        """Apply the settings before rows are copied, if a proxy gives each transaction another session."""
        if not self.configured:
            return
        assert self.wrapper is not None
        if self.wrapper.autocommit and not self._database.in_transaction(self.wrapper):
            raise InterfaceError(
                f"COPY on {self.alias!r} outside a transaction would lack the settings of DAF_ORM['CONFIGURE']. "
                "Open transaction.atomic() around it."
            )
        self._execute_configured("COPY", lambda: None)

    def lacks(self, values: Mapping[str, Any]) -> list[str]:
        """Return the names of settings that do not have these values."""
        if not self._database.takes_settings:
            return []
        wanted = {name: None if value is None else str(value) for name, value in values.items()}
        return [
            name for name in wanted.keys() | self.configured.keys() if self.configured.get(name) != wanted.get(name)
        ]

    @property
    def needs_cleaning(self) -> bool:
        """True if the next owner must not get it before it is cleaned."""
        return self.is_touched or self._effect is not Effect.NONE

    def forget_undone(self) -> None:
        """Let the owner keep the session no longer if it has undone its changes, as migrations do on SQLite."""
        wrapper, before = self.wrapper, self._before
        if wrapper is None or before is None or self._effect is not Effect.RESETTABLE:
            return
        if self._database.comparable_state(wrapper) == before:
            self._effect, self.is_touched = Effect.NONE, False

    def lose_track(self) -> None:
        """Record that statements may be sent unseen."""
        self._effect = Effect.UNKNOWN
        if self.wrapper is not None and self.wrapper.connection is not None:
            self._database.lose_track(self.wrapper)

    @property
    def has_other_options(self) -> bool:
        """True if options of the driver's connection have changed."""
        wrapper = self.wrapper
        return wrapper is not None and self._options != self._database.options_of(wrapper.connection)

    def is_untouched(self) -> bool:
        """Return True if its owner has left no state on it, as far as is known without asking the server. No I/O."""
        wrapper = self.wrapper
        return (
            wrapper is not None
            and wrapper.connection is not None
            and not (wrapper.in_atomic_block or wrapper.atomic_blocks or wrapper.errors_occurred)
            and not self.needs_cleaning
            and self._database.is_as_lent(wrapper, self._options)
        )

    def end_lease(self) -> None:
        """Record that its owner's transactions have ended."""
        assert self.wrapper is not None
        self._database.end_lease(self.wrapper)

    def clean(self) -> bool:
        """Restore the session's first state. False if the connection has to be closed. May raise."""
        wrapper = self.wrapper
        assert wrapper is not None
        self.end_lease()
        effect, self._effect, self.is_touched = self._effect, Effect.NONE, False
        if wrapper.connection is None:
            return True
        has_other_options = self._options != self._database.options_of(wrapper.connection)
        if effect is Effect.NONE:
            return not has_other_options
        self.configured = {}
        # Before it is closed, too: a server notices that late, and others may wait for its locks.
        with cut_off_if_silent(wrapper):
            is_reset = self._database.reset(wrapper)
        return is_reset and effect is not Effect.UNKNOWN and not has_other_options


_UNKNOWN: Final = object()
_SERVER_POOLED: Final = (
    "{problem}, and DAF_ORM['SERVER_POOLED'] says that each transaction has another session. Send a statement that "
    "begins or ends a transaction alone. Use SET LOCAL, set_config(…, …, true) or pg_advisory_xact_lock() in a "
    "transaction, or DAF_ORM['CONFIGURE']; for all else, give this code a database alias that bypasses the proxy."
)
