"""What DAF must know of a database, asked as capabilities; and the careful answers where it knows nothing."""

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
"""Seconds a server is given to take a cancellation, and then to act on it, or to roll back, before it is cut off."""


class Patience(Protocol):
    """An execute wrapper that waits for a database's lock."""

    sqlite_waits: tuple[Any, float]

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
        """Execute a statement, when the lock can be had."""

    def wait_for_lock(self, attempt: Callable[[], T]) -> T:
        """Make the attempt again until the database is not locked."""


class Listener(Protocol):
    """A connection beside the pool that listens to channels."""

    async def hear(self) -> list[tuple[str, str, int]]:
        """Wait for what is notified next: channels, payloads, the server's processes. May raise OperationalError."""

    async def aclose(self) -> None:
        """Close the connection."""


class Database:
    """A kind of database that DAF knows nothing of.

    A connection whose session may have changed is closed, each lease ends with a ROLLBACK, and a statement of a call
    that is cancelled is waited for.
    """

    grammar = Grammar()
    driver_options: tuple[str, ...] = ()
    """Attributes of the driver's connection that code may set, and that a reset does not undo."""
    watched_of_connection: tuple[str, ...] = ("cursor",)
    """Methods and properties of the driver's connection by which code can change it, or its session, past Django."""
    watched_of_cursor: tuple[str, ...] = ("execute", "executemany", "callproc")
    """Methods of the driver's cursor by which it can."""
    lease_options: Mapping[str, Any] = MappingProxyType({})
    """Defaults of ``OPTIONS`` on a lease; those of the settings win."""
    takes_settings = False
    """Whether :meth:`configure` can set what ``CONFIGURE`` wants. It leaves others alone."""
    has_server = True
    """Whether asking if a connection is usable is a round trip."""
    may_live_in_memory = False
    """Whether a database may be one with its connection: another connection would find another database."""

    can_be_pooled_by_server = False
    """Whether ``SERVER_POOLED`` is about it."""

    def __init__(self) -> None:
        self._effect_of = lru_cache(maxsize=4096)(self.grammar.effect_of)
        self._get_options = attrgetter(*self.driver_options) if len(self.driver_options) > 1 else None

    # Before it is lent

    def options_for(self, wrapper: BaseDatabaseWrapper) -> Mapping[str, Any]:  # noqa: ARG002 - for those that ask it
        """Return the defaults of ``OPTIONS`` for a wrapper on a lease."""
        return self.lease_options

    def patience(self, wrapper: BaseDatabaseWrapper, is_given_up: Callable[[], bool]) -> Patience | None:  # noqa: ARG002
        """Return what waits for the database's lock on a lease; None: its server, or its driver, does it alone."""
        return None

    def has_it_alone(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - for those that ask it
        """Whether the wrapper's connection is the only one that there can be to its database."""
        return False

    def client_connections(self, wrapper: BaseDatabaseWrapper) -> int | None:  # noqa: ARG002 - for those that can
        """Ask the server how many connections it has for clients; None if it has no such limit. May raise."""
        return None

    async def listen(self, wrapper: BaseDatabaseWrapper, channels: Sequence[str]) -> Listener | None:  # noqa: ARG002
        """Listen to channels, on the event loop; None where there are none. May raise OperationalError."""
        return None

    def note_opened(self, wrapper: BaseDatabaseWrapper) -> None:
        """Take note of what has to be known of a connection that has just been opened while it is busy."""

    # While it is lent

    def stop(self, wrapper: BaseDatabaseWrapper) -> None:
        """Stop the statement that the connection executes, from another thread. May raise what the driver raises."""

    def socket_of(self, connection: Any) -> int:  # noqa: ARG002 - for those that have one
        """Return the descriptor of a driver's connection's socket; -1 where it has none that we know of.

        Of a connection that another thread uses, too. May raise if it is closed.
        """
        return -1

    def is_closed(self, wrapper: BaseDatabaseWrapper) -> bool:
        """Whether the driver knows that its connection is lost."""
        closed = getattr(wrapper.connection, "closed", False)
        return isinstance(closed, int) and bool(closed)

    def in_transaction(self, wrapper: BaseDatabaseWrapper) -> bool | None:  # noqa: ARG002 - for those that know
        """Whether the driver says that a transaction is open; None if only the server could tell."""
        return None

    def ask_transaction(self, wrapper: BaseDatabaseWrapper) -> bool | None:  # noqa: ARG002 - for those that can
        """Ask the server whether a transaction is open, where the driver cannot tell; None if it cannot be asked.

        Never raises: a connection that does not answer counts as one in a transaction.
        """
        return None

    def roll_back(self, wrapper: BaseDatabaseWrapper) -> None:
        """End a transaction that Django does not know of. May raise."""
        wrapper.rollback()

    def has_aborted(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - for those that do
        """Whether the open transaction can only be rolled back, after an error that was caught in it."""
        return False

    def aborts_transaction(self, error: BaseException) -> bool:  # noqa: ARG002 - for those that do
        """Whether the server has rolled the whole transaction back as it raised this error of the driver's."""
        return False

    def has_other_isolation(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - for those that know
        """Whether code has set another isolation level on the driver's connection than the settings have."""
        return False

    def lose_track(self, wrapper: BaseDatabaseWrapper) -> None:
        """Take note that statements may be sent that nothing looks at."""

    def is_as_lent(self, wrapper: BaseDatabaseWrapper, options: tuple[Any, ...]) -> bool:
        """Whether the driver knows that its connection is open, in no transaction, and set as it was when lent.

        ``options`` is what :meth:`options_of` returned then. False if only the server could tell. No I/O.
        """
        return (
            not self.is_closed(wrapper)
            and self.in_transaction(wrapper) is False
            and wrapper.autocommit == wrapper.settings_dict["AUTOCOMMIT"]
            and not self.has_other_isolation(wrapper)
            and options == self.options_of(wrapper.connection)
        )

    def learn(self, wrapper: BaseDatabaseWrapper) -> None:
        """Find out what :meth:`effect_of` has to know, on an open connection outside any transaction."""

    def end_lease(self, wrapper: BaseDatabaseWrapper) -> None:
        """Take note that an owner's transactions have ended."""

    def cursors_of(self, cursor: Any) -> tuple[Any, ...]:
        """Return a cursor of a backend's, and the driver's own if that is inside it."""
        return (cursor,)

    def effect_of(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Effect:  # noqa: ARG002 - for those that ask it
        """Return what a statement that is about to be sent may leave on the session."""
        return self._effect_of(sql) if isinstance(sql, str) else Effect.UNKNOWN

    def options_of(self, connection: Any) -> tuple[Any, ...]:
        """Return what the options of a driver's connection are set to, and how many attributes it has."""
        if self._get_options is not None:
            try:
                return (*self._get_options(connection), len(getattr(connection, "__dict__", ())))
            except AttributeError:  # another release of the driver has others
                self._get_options = None
        options = [getattr(connection, name, None) for name in self.driver_options]
        return (*options, len(getattr(connection, "__dict__", ())))

    def configure(self, wrapper: BaseDatabaseWrapper, changes: Mapping[str, str | None]) -> None:  # noqa: ARG002
        """Give settings of the session other values; None is the value of a new connection. In autocommit."""
        raise NotSupportedError(f"{wrapper.display_name} has no settings that DAF_ORM['CONFIGURE'] could name.")

    def configure_transaction(self, wrapper: BaseDatabaseWrapper, values: Mapping[str, str | None]) -> None:
        """Set them for the transaction that is open, or begins with this."""
        raise NotImplementedError

    def judge(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Verdict:
        """Return what is known of a statement that is to be sent through a proxy."""
        raise NotImplementedError

    def may_repeat(self, sql: Any) -> bool:  # noqa: ARG002 - for those that keep plans
        """Whether a statement that could not be planned has done nothing, and may be sent again."""
        return False

    def has_stale_plan(self, error: BaseException) -> bool:  # noqa: ARG002 - for those that keep plans
        """Whether a statement failed, before it began, because a table was altered since the server had planned it."""
        return False

    def forget_plans(self, wrapper: BaseDatabaseWrapper) -> None:
        """Let every statement of the session be planned anew."""

    def leave_to_parent(self, connection: Any) -> None:
        """In the child of a fork: let go of a driver's idle connection without a word to its server."""

    def snapshot(self, wrapper: BaseDatabaseWrapper) -> Any:  # noqa: ARG002 - for those that can
        """Return what :meth:`restore` needs, for a session that can be neither reset nor closed; None: nothing can."""
        return None

    def changes_since(self, wrapper: BaseDatabaseWrapper, snapshot: Any) -> Any:  # noqa: ARG002 - for those that can
        """Return what :meth:`apply` needs to make the session again what it is now; None: it is as in the snapshot."""
        return None

    def restore(self, wrapper: BaseDatabaseWrapper, snapshot: Any) -> None:
        """Put a session back to its snapshot."""

    def apply(self, wrapper: BaseDatabaseWrapper, changes: Any) -> None:
        """Change a session that is as in the snapshot again."""

    def reset(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - for those that can
        """Bring the session to the state of a new connection's. False if it cannot be: it is then closed.

        On a worker thread, in autocommit. May raise what the driver raises.
        """
        return False
