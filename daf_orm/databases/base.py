"""What DAF must know of a database, asked as capabilities; and the careful answers where it knows nothing."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import NotSupportedError

from daf_orm.databases.statements import Effect, Grammar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper


class Database:
    """A kind of database that DAF knows nothing of: a connection whose session may have changed is closed."""

    grammar = Grammar()
    driver_options: tuple[str, ...] = ()
    """Attributes of the driver's connection that code may set, and that a reset does not undo."""

    can_be_pooled_by_server = False
    """Whether ``SERVER_POOLED`` is about it."""

    def __init__(self) -> None:
        self._effect_of = lru_cache(maxsize=4096)(self.grammar.effect_of)

    def learn(self, wrapper: BaseDatabaseWrapper) -> None:
        """Find out what :meth:`effect_of` has to know, on an open connection outside any transaction."""

    def end_lease(self, wrapper: BaseDatabaseWrapper) -> None:
        """Take note that an owner's transactions have ended."""

    def effect_of(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Effect:  # noqa: ARG002 - for those that ask it
        """Return what a statement that is about to be sent may leave on the session."""
        return self._effect_of(sql) if isinstance(sql, str) else Effect.UNKNOWN

    def options_of(self, connection: Any) -> tuple[Any, ...]:
        """Return what the options of a driver's connection are set to."""
        return tuple(getattr(connection, name, None) for name in self.driver_options)

    def configure(self, wrapper: BaseDatabaseWrapper, changes: Mapping[str, str | None]) -> None:  # noqa: ARG002
        """Give settings of the session other values; None is the value of a new connection. In autocommit."""
        raise NotSupportedError(
            f"DAF_ORM['CONFIGURE'] wants settings for {wrapper.alias!r}, and {wrapper.display_name} has none that a "
            "function can name. It is for PostgreSQL."
        )

    def configure_transaction(self, wrapper: BaseDatabaseWrapper, values: Mapping[str, str | None]) -> None:
        """Set them for the transaction that is open, or begins with this."""
        raise NotImplementedError

    def session_state_in(self, sql: Any) -> str:  # noqa: ARG002 - for those that are pooled by their server
        """Return the words by which a statement asks for something that only a session can keep; "" if it does not."""
        return ""

    def has_stale_plan(self, error: BaseException) -> bool:  # noqa: ARG002 - for those that keep plans
        """Whether a statement failed, before it began, because a table was altered since the server had planned it."""
        return False

    def forget_plans(self, wrapper: BaseDatabaseWrapper) -> None:
        """Let every statement of the session be planned anew."""

    def snapshot(self, wrapper: BaseDatabaseWrapper) -> Any:  # noqa: ARG002 - for those that can
        """Return what :meth:`restore` needs, for a session that can be neither reset nor closed; None: nothing can."""
        return None

    def restore(self, wrapper: BaseDatabaseWrapper, snapshot: Any) -> None:
        """Put a session back to its snapshot."""

    def reset(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - for those that can
        """Bring the session to the state of a new connection's. False if it cannot be: it is then closed.

        On a worker thread, in autocommit. May raise what the driver raises.
        """
        return False
