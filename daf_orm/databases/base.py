"""The capabilities of a database that DAF asks for, with safe answers for an unknown one."""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from django.db import NotSupportedError

from daf_orm.databases.server_pooling import Verdict
from daf_orm.databases.statements import Effect, Grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper


T = TypeVar("T")
CANCEL_TIMEOUT: Final = 5.0
"""Seconds that a server has to take a cancellation, and then to act on it, or to roll back, before it is cut off."""


class Patience(Protocol):
    """An execute wrapper that waits for a database's lock."""

    sqlite_waits: tuple[Any, float]

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
        """Execute a statement as soon as the lock is free."""

    def wait_for_lock(self, attempt: Callable[[], T]) -> T:
        """Make the attempt again until the database is not locked."""


class Listener(Protocol):
    """A connection beside the pool that listens to channels."""

    async def hear(self) -> list[tuple[str, str, int]]:
        """Wait for the next notifications: channels, payloads, the server's processes. May raise OperationalError."""

    async def aclose(self) -> None:
        """Close the connection."""


class Database:
    """An unknown kind of database.

    A connection whose session may have changed is closed, each lease ends with a ROLLBACK, and a cancelled call waits
    for its statement to end.
    """

    grammar = Grammar()
    driver_options: tuple[str, ...] = ()
    """Attributes of the driver's connection that code may set, and that a reset does not undo."""
    watched_of_connection: tuple[str, ...] = ("cursor",)
    """Methods and properties of the driver's connection by which code can change it, or its session, past Django."""
    watched_of_cursor: tuple[str, ...] = ("execute", "executemany", "callproc")
    """Methods of the driver's cursor by which code can change the connection or its session, past Django."""
    lease_options: Mapping[str, Any] = MappingProxyType({})
    """Defaults of ``OPTIONS`` on a lease; those of the settings win."""
    takes_settings = False
    """True if :meth:`configure` can make the settings of ``CONFIGURE``. Other databases are left alone."""
    has_server = True
    """True if a check that a connection is usable is a round trip."""
    may_live_in_memory = False
    """True if a database may exist in its connection only: another connection would find another database."""

    can_be_pooled_by_server = False
    """True if ``SERVER_POOLED`` applies to it."""

    def __init__(self) -> None:
        self._effect_of = lru_cache(maxsize=4096)(self.grammar.effect_of)
        self._get_options = attrgetter(*self.driver_options) if len(self.driver_options) > 1 else None

    # Before it is lent

    def options_for(self, wrapper: BaseDatabaseWrapper) -> Mapping[str, Any]:  # noqa: ARG002 - for those that ask it
        """Return the defaults of ``OPTIONS`` for a wrapper on a lease."""
        return self.lease_options

    def patience(self, wrapper: BaseDatabaseWrapper, is_given_up: Callable[[], bool]) -> Patience | None:  # noqa: ARG002
        """Return the wrapper that waits for the database's lock on a lease; None: its server or driver waits."""
        return None

    def has_it_alone(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - for those that ask it
        """Return True if the wrapper's connection is the only possible one to its database."""
        return False

    def client_connections(self, wrapper: BaseDatabaseWrapper) -> int | None:  # noqa: ARG002 - for those that can
        """Ask the server for its number of client connections; None if it has no such limit. May raise."""
        return None

    async def listen(self, wrapper: BaseDatabaseWrapper, channels: Sequence[str]) -> Listener | None:  # noqa: ARG002
        """Listen to channels, on the event loop; None if the database has none. May raise OperationalError."""
        return None

    def note_opened(self, wrapper: BaseDatabaseWrapper) -> None:
        """Record facts about a connection that has just been opened, which are needed while it is busy."""

    # While it is lent

    def stop(self, wrapper: BaseDatabaseWrapper) -> None:
        """Stop the statement that the connection executes, from another thread. May raise the driver's errors."""

    def socket_of(self, connection: Any) -> int:  # noqa: ARG002 - for those that have one
        """Return the descriptor of a driver's connection's socket; -1 if it has no known one.

        Also for a connection that another thread uses. May raise if it is closed.
        """
        return -1

    def is_closed(self, wrapper: BaseDatabaseWrapper) -> bool:
        """Return True if the driver knows that its connection is lost."""
        closed = getattr(wrapper.connection, "closed", False)
        return isinstance(closed, int) and bool(closed)

    def in_transaction(self, wrapper: BaseDatabaseWrapper) -> bool | None:  # noqa: ARG002 - for those that know
        """Return True if the driver knows of an open transaction; None if only the server knows."""
        return None

    def ask_transaction(self, wrapper: BaseDatabaseWrapper) -> bool | None:  # noqa: ARG002 - for those that can
        """Ask the server if a transaction is open, where the driver cannot tell; None if it cannot be asked.

        Never raises: a connection that does not answer counts as one in a transaction.
        """
        return None

    def roll_back(self, wrapper: BaseDatabaseWrapper) -> None:
        """End a transaction that Django does not know of. May raise."""
        wrapper.rollback()

    def has_aborted(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - for those that do
        """Return True if the open transaction can only be rolled back, after an error that was caught in it."""
        return False

    def aborts_transaction(self, error: BaseException) -> bool:  # noqa: ARG002 - for those that do
        """Return True if the server has rolled back the whole transaction with this error of the driver."""
        return False

    def has_other_isolation(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - for those that know
        """Return True if code has set another isolation level on the driver's connection than the settings have."""
        return False

    def lose_track(self, wrapper: BaseDatabaseWrapper) -> None:
        """Record that statements may be sent unseen."""

    def is_as_lent(self, wrapper: BaseDatabaseWrapper, options: tuple[Any, ...]) -> bool:
        """Return True if the driver knows that its connection is open, in no transaction, and set as when it was lent.

        ``options`` is the result of :meth:`options_of` at that time. False if only the server knows. No I/O.
        """
        return (
            not self.is_closed(wrapper)
            and self.in_transaction(wrapper) is False
            and wrapper.autocommit == wrapper.settings_dict["AUTOCOMMIT"]
            and not self.has_other_isolation(wrapper)
            and options == self.options_of(wrapper.connection)
        )

    def learn(self, wrapper: BaseDatabaseWrapper) -> None:
        """Learn the facts that :meth:`effect_of` needs, on an open connection outside any transaction."""

    def end_lease(self, wrapper: BaseDatabaseWrapper) -> None:
        """Record that an owner's transactions have ended."""

    def cursors_of(self, cursor: Any) -> tuple[Any, ...]:
        """Return a backend's cursor, and the driver's own if it is inside it."""
        return (cursor,)

    def effect_of(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Effect:  # noqa: ARG002 - for those that ask it
        """Return the effect on the session of a statement that is about to be sent."""
        return self._effect_of(sql) if isinstance(sql, str) else Effect.UNKNOWN

    def options_of(self, connection: Any) -> tuple[Any, ...]:
        """Return the values of a driver's connection's options, and its number of attributes."""
        if self._get_options is not None:
            try:
                return (*self._get_options(connection), len(getattr(connection, "__dict__", ())))
            except AttributeError:  # another release of the driver has others
                self._get_options = None
        options = [getattr(connection, name, None) for name in self.driver_options]
        return (*options, len(getattr(connection, "__dict__", ())))

    def configure(self, wrapper: BaseDatabaseWrapper, changes: Mapping[str, str | None]) -> None:  # noqa: ARG002
        """Change settings of the session; None is the value of a new connection. In autocommit."""
        raise NotSupportedError(f"{wrapper.display_name} has no settings that DAF_ORM['CONFIGURE'] could name.")

    def configure_transaction(self, wrapper: BaseDatabaseWrapper, values: Mapping[str, str | None]) -> None:
        """Make settings for the transaction that is open, or begins with this."""
        raise NotImplementedError

    def judge(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Verdict:
        """Return the verdict on a statement that is to be sent through a proxy."""
        raise NotImplementedError

    def may_repeat(self, sql: Any) -> bool:  # noqa: ARG002 - for those that keep plans
        """Return True if a statement that could not be planned had no effect, and may be sent again."""
        return False

    def has_stale_plan(self, error: BaseException) -> bool:  # noqa: ARG002 - for those that keep plans
        """Return True if a statement failed before it began, because a table was altered after it had been planned."""
        return False

    def forget_plans(self, wrapper: BaseDatabaseWrapper) -> None:
        """Let every statement of the session be planned again."""

    def leave_to_parent(self, connection: Any) -> None:
        """Forget a driver's idle connection in the child of a fork, without a message to its server."""

    def snapshot(self, wrapper: BaseDatabaseWrapper) -> Any:  # noqa: ARG002 - for those that can
        """Return the argument for :meth:`restore`; None if this database cannot restore a session.

        It is for sessions that can be neither reset nor closed.
        """
        return None

    def comparable_state(self, wrapper: BaseDatabaseWrapper) -> Any:  # noqa: ARG002 - for those that can
        """Return the state by which a session can be told to be as it was; None if it cannot, or not just now."""
        return None

    def changes_since(self, wrapper: BaseDatabaseWrapper, snapshot: Any) -> Any:  # noqa: ARG002 - for those that can
        """Return the argument with which :meth:`apply` makes the changes since the snapshot again; None: no changes."""
        return None

    def restore(self, wrapper: BaseDatabaseWrapper, snapshot: Any) -> None:
        """Restore a session's snapshot."""

    def apply(self, wrapper: BaseDatabaseWrapper, changes: Any) -> None:
        """Make the changes again to a session that is as in the snapshot."""

    def reset(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - for those that can
        """Bring the session to the state of a new connection. False if that is impossible: it is then closed.

        On a worker thread, in autocommit. May raise the driver's errors.
        """
        return False
