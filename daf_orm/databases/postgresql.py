"""PostgreSQL, by psycopg."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from django.db import OperationalError
from django.db.models.signals import post_migrate

from daf_orm.databases import postgresql_catalogue, server_pooling
from daf_orm.databases.base import CANCEL_TIMEOUT, Database
from daf_orm.databases.postgresql_statements import (
    HARMLESS,
    KEEPING,
    PLANNED,
    RESETTABLE,
    STATEMENTS,
    may_change_tables,
    may_use_tables,
)
from daf_orm.databases.statements import Effect, Grammar, without_literals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from daf_orm.databases.base import Listener
    from daf_orm.databases.postgresql_catalogue import Catalogue
    from daf_orm.databases.server_pooling import Verdict

logger = logging.getLogger("daf_orm")

RESET: Final = (
    "SET statement_timeout = 0; "  # the owner's must not end the reset
    "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; "  # the role may not be allowed to do the rest
    "SELECT pg_catalog.pg_advisory_unlock_all(); UNLISTEN *; CLOSE ALL; DISCARD TEMP; DISCARD SEQUENCES; RESET ALL"
)
"""The effect of DISCARD ALL in one round trip, except for prepared statements, which are psycopg's own."""
LEASE_OPTIONS: Final = MappingProxyType(
    {
        "connect_timeout": 10,  # seconds
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,  # milliseconds
    }
)
"""Neither connecting nor a COMMIT can be cancelled, so TCP must notice a server that vanishes silently."""
_IDLE: Final = 0  # psycopg.pq.TransactionStatus.IDLE
_INERROR: Final = 3  # psycopg.pq.TransactionStatus.INERROR


class _PostGIS(Database):
    """Effects of statements where functions that begin with ``st_`` are PostGIS's."""

    grammar = Grammar(
        keeping=KEEPING,
        resettable=STATEMENTS,
        harmless_functions=HARMLESS,
        harmless_prefix="st_",
        resettable_functions=RESETTABLE,
        has_hash_comments=False,
    )


class PostgreSQL(Database):
    """PostgreSQL. A session is reset in one round trip."""

    grammar = Grammar(
        keeping=KEEPING,
        resettable=STATEMENTS,
        harmless_functions=HARMLESS,
        resettable_functions=RESETTABLE,
        has_hash_comments=False,
    )
    can_be_pooled_by_server = True
    driver_options = (
        *("isolation_level", "read_only", "deferrable", "row_factory", "cursor_factory", "server_cursor_factory"),
        *("prepare_threshold", "autocommit"),
    )
    watched_of_connection = (
        *("cursor", "execute", "transaction", "pipeline", "notifies", "adapters", "tpc_begin"),
        *("add_notice_handler", "add_notify_handler", "remove_notice_handler", "remove_notify_handler"),
    )
    watched_of_cursor = ("execute", "executemany", "copy", "stream", "callproc")
    lease_options = LEASE_OPTIONS
    takes_settings = True

    def __init__(self) -> None:
        super().__init__()
        self._gis = _PostGIS()
        self._is_harmless = lru_cache(maxsize=4096)(self._find_out_if_harmless)
        self._catalogues: dict[tuple[Any, ...], Catalogue] = {}
        """By database, the code behind its tables that may leave something on a session."""
        self._stale: set[tuple[Any, ...]] = set()
        """Databases whose tables may have changed since."""
        self._changing: set[int] = set()
        """Drivers' connections that may have changed tables, in a transaction that others do not see yet."""
        post_migrate.connect(self._forget_tables, dispatch_uid="daf_orm.databases.postgresql")

    def client_connections(self, wrapper: BaseDatabaseWrapper) -> int | None:
        """Ask for ``max_connections``, less those reserved for superusers."""
        with wrapper.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('max_connections')::int"
                " - current_setting('superuser_reserved_connections')::int"
            )
            row = cursor.fetchone()
        assert row is not None
        return int(row[0])

    async def listen(self, wrapper: BaseDatabaseWrapper, channels: Sequence[str]) -> Listener | None:
        """Open psycopg's asynchronous connection, and LISTEN."""
        driver: Any = wrapper.Database  # type: ignore[attr-defined] # each backend has its own
        if not hasattr(driver, "AsyncConnection"):  # psycopg2
            return None
        params = {**self.options_for(wrapper), **wrapper.get_connection_params()}
        del params["cursor_factory"]
        try:
            connection = await driver.AsyncConnection.connect(**params, autocommit=True)
            try:
                quoted = ['"' + name.replace('"', '""') + '"' for name in channels]
                await connection.execute("; ".join(f"LISTEN {name}" for name in quoted))
            except BaseException:
                await connection.close()
                raise
        except driver.Error as error:
            raise OperationalError(f"LISTEN failed on {wrapper.alias!r}: {error}") from error
        return _Listening(connection, driver.Error, wrapper.alias)

    def stop(self, wrapper: BaseDatabaseWrapper) -> None:
        """Send a request to cancel, on a separate connection."""
        connection: Any = wrapper.connection
        if hasattr(connection, "cancel_safe"):
            connection.cancel_safe(timeout=CANCEL_TIMEOUT)
        else:  # psycopg2
            connection.cancel()

    def socket_of(self, connection: Any) -> int:
        """Return libpq's socket."""
        return int(connection.pgconn.socket if hasattr(connection, "pgconn") else connection.fileno())

    def in_transaction(self, wrapper: BaseDatabaseWrapper) -> bool | None:
        """Return libpq's last status."""
        return bool(_status(wrapper))

    def has_aborted(self, wrapper: BaseDatabaseWrapper) -> bool:
        """Return True if the server refuses all statements until the transaction ends."""
        return _status(wrapper) == _INERROR

    def has_other_isolation(self, wrapper: BaseDatabaseWrapper) -> bool:
        """Return True if psycopg's connection has got another level."""
        wanted = getattr(wrapper, "isolation_level", None)
        return wanted is not None and getattr(wrapper.connection, "isolation_level", None) not in (None, wanted)

    def is_as_lent(self, wrapper: BaseDatabaseWrapper, options: tuple[Any, ...]) -> bool:
        """Ask libpq, which reports the transaction status of a lost connection as unknown."""
        connection = wrapper.connection
        if not hasattr(connection, "pgconn"):  # psycopg2
            return super().is_as_lent(wrapper, options)
        return (
            connection.pgconn.transaction_status == _IDLE
            and wrapper.autocommit == wrapper.settings_dict["AUTOCOMMIT"]
            and options == self.options_of(connection)  # the level of isolation among them
        )

    def learn(self, wrapper: BaseDatabaseWrapper) -> None:
        """Read the catalogue for code that tables run, once per database, and again after tables have changed."""
        name, connection = self._name_of(wrapper), wrapper.connection
        if (
            (name in self._catalogues and name not in self._stale)
            or not hasattr(connection, "pgconn")
            or not connection.autocommit
        ):
            return
        if connection.pgconn.transaction_status:  # an error here would abort that transaction
            return
        try:
            self._catalogues[name] = postgresql_catalogue.read(connection)
        except Exception:  # such as a statement time-out: until it succeeds, every statement counts as one that sets
            logger.debug("The catalogue of %r could not be read.", wrapper.alias, exc_info=True)
        else:
            self._stale.discard(name)

    def effect_of(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Effect:
        """Return a statement's effect, also by code of the tables, types and operators that it names."""
        is_gis = getattr(wrapper.features, "gis_enabled", False)
        name = self._name_of(wrapper)
        if (
            name in self._catalogues
            and name not in self._stale
            and isinstance(sql, str)
            and self._is_harmless(sql, self._catalogues[name], is_gis)
        ):
            return Effect.NONE
        effect = self._gis.effect_of(wrapper, sql) if is_gis else super().effect_of(wrapper, sql)
        if effect is Effect.UNKNOWN or (isinstance(sql, str) and may_change_tables(sql)):
            self._stale.update(self._catalogues)
            self._changing.add(id(wrapper.connection))
        if effect is not Effect.NONE:
            return effect
        if not may_use_tables(sql):  # a definition: only triggers on events make it run code
            known = self._catalogues.get(name)
            return Effect.RESETTABLE if known is not None and known.runs_on_definition(sql) else Effect.NONE
        if name not in self._catalogues or name in self._stale:
            self.learn(wrapper)
        # In a transaction the catalogue cannot be asked. The old answer holds, except for the connection that has
        # changed tables.
        knows = name not in self._stale or id(wrapper.connection) not in self._changing
        catalogue = self._catalogues.get(name) if knows else None
        return Effect.NONE if catalogue is not None and catalogue.is_clean(sql) else Effect.RESETTABLE

    def _find_out_if_harmless(self, sql: str, catalogue: Catalogue, is_gis: bool) -> bool:  # noqa: FBT001 - of a cache
        """Return True if a statement leaves nothing."""
        grammar = (self._gis if is_gis else self).grammar
        return (
            grammar.effect_of(sql) is Effect.NONE
            and not may_change_tables(sql)
            and (catalogue.is_clean(sql) or not may_use_tables(sql))
        )

    def end_lease(self, wrapper: BaseDatabaseWrapper) -> None:
        """Ask the catalogue again, now that changes are committed."""
        if id(wrapper.connection) in self._changing:
            self._changing.discard(id(wrapper.connection))
            self._stale.update(self._catalogues)

    def configure(self, wrapper: BaseDatabaseWrapper, changes: Mapping[str, str | None]) -> None:
        """Change settings of the session, in one round trip."""
        calls = ", ".join(["set_config(%s, %s, false)"] * len(changes))
        with wrapper.wrap_database_errors, wrapper.connection.cursor() as cursor:
            cursor.execute(f"SELECT {calls}", [part for change in changes.items() for part in change])

    def configure_transaction(self, wrapper: BaseDatabaseWrapper, values: Mapping[str, str | None]) -> None:
        """Make settings until the transaction ends, in one round trip."""
        settings = {name: value for name, value in values.items() if value is not None}
        calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
        if settings:
            with wrapper.wrap_database_errors, wrapper.connection.cursor() as cursor:
                cursor.execute(f"SELECT {calls}", [part for setting in settings.items() for part in setting])

    def judge(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Verdict:
        """Return the verdict on a statement, which may be one of psycopg's own objects."""
        if isinstance(sql, bytes):
            sql = sql.decode(errors="replace")
        elif not isinstance(sql, str) and hasattr(sql, "as_string"):
            sql = sql.as_string(wrapper.connection)
        return server_pooling.judge(str(sql))

    def may_repeat(self, sql: Any) -> bool:
        """Return True for one statement that is planned before any of it is executed."""
        text = without_literals(sql) if isinstance(sql, str) else None
        return text is not None and PLANNED.fullmatch(text) is not None

    def leave_to_parent(self, connection: Any) -> None:
        """Close this process's copy of a connection, without a message to the server."""
        if not hasattr(connection, "pgconn") or connection.closed:  # psycopg2
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, connection.pgconn.socket, inheritable=False)
        os.close(nowhere)
        connection.close()

    def has_stale_plan(self, error: BaseException) -> bool:
        """Return True for "cached plan must not change result type", in any language."""
        return getattr(getattr(error.__cause__, "diag", None), "source_function", "") == "RevalidateCachedQuery"

    def forget_plans(self, wrapper: BaseDatabaseWrapper) -> None:
        """Drop prepared statements, the server's and psycopg's."""
        with wrapper.wrap_database_errors:
            wrapper.connection.execute("DEALLOCATE ALL")

    def reset(self, wrapper: BaseDatabaseWrapper) -> bool:
        """Release locks, channels, cursors and temporary tables; reset role and settings."""
        connection = wrapper.connection
        if not hasattr(connection, "pgconn"):  # psycopg2
            return False
        connection.execute(RESET)
        wrapper.init_connection_state()  # the time zone and the role of the settings
        return True

    @staticmethod
    def _name_of(wrapper: BaseDatabaseWrapper) -> tuple[Any, ...]:
        settings = wrapper.settings_dict
        return settings.get("HOST"), str(settings.get("PORT")), settings.get("NAME")

    def _forget_tables(self, **_: object) -> None:
        self._stale.update(self._catalogues)


class _Listening:
    """An asynchronous connection that listens."""

    def __init__(self, connection: Any, error: type[Exception], alias: str) -> None:
        self._connection = connection
        self._error = error
        self._alias = alias

    async def hear(self) -> list[tuple[str, str, int]]:
        """Wait for the next notification, and return it with those that came at the same time."""
        try:
            return [
                (found.channel, found.payload, found.pid) async for found in self._connection.notifies(stop_after=1)
            ]
        except self._error as error:
            raise OperationalError(
                f"The connection that listened on {self._alias!r} is lost, and notifications sent meanwhile with it: "
                "listen again, and then query the rows that they are about once."
            ) from error

    async def aclose(self) -> None:
        """Close the connection."""
        await self._connection.close()


def _status(wrapper: BaseDatabaseWrapper) -> int:
    """Return libpq's status of the transaction: 0 is IDLE."""
    connection: Any = wrapper.connection
    if connection is None:
        return 0
    if hasattr(connection, "pgconn"):
        return int(connection.pgconn.transaction_status)
    return int(connection.get_transaction_status())  # psycopg2
