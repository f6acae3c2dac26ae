"""SQLite: a session that cannot be reset, and the wait for the write lock, in order of arrival.

SQLite waits in C, where ``interrupt()`` does not reach it, and wakes at random, so that some writers starve. On a lease
it waits for short moments only. Between them DAF checks for a cancellation of the call, and for its turn.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.db import OperationalError

from daf_orm._core.locks import FifoLock
from daf_orm.databases.base import Database
from daf_orm.databases.statements import Effect, Grammar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper

T = TypeVar("T")


class Connection(sqlite3.Connection):
    """sqlite3's connection, of a class that can be changed."""


class SQLite(Database):
    """SQLite. PRAGMA, ATTACH and temporary tables stay until the connection is closed."""

    grammar = Grammar(
        harmless_functions=None, unknown_functions=frozenset({"load_extension"}), has_backslash_escapes=False
    )
    driver_options = ("isolation_level", "row_factory", "text_factory", "autocommit")
    watched_of_connection = (
        *("cursor", "execute", "executemany", "executescript", "create_function", "create_aggregate"),
        *("create_collation", "create_window_function", "set_authorizer", "set_progress_handler"),
        *("set_trace_callback", "enable_load_extension", "load_extension", "setlimit", "setconfig", "deserialize"),
    )
    watched_of_cursor = ("execute", "executemany", "executescript")
    has_server = False
    may_live_in_memory = True

    def options_for(self, wrapper: BaseDatabaseWrapper) -> Mapping[str, Any]:
        """Return the options for a database file, to which another thread may be writing."""
        if _in_memory(wrapper):
            return {}
        driver = getattr(wrapper, "Database", None)
        if getattr(driver, "Connection", None) is not sqlite3.Connection:  # such as SQLCipher's
            return OPTIONS
        return {**OPTIONS, "factory": Connection}

    def patience(self, wrapper: BaseDatabaseWrapper, is_given_up: Callable[[], bool]) -> LockPatience | None:
        """Wait for the lock of a database file whose transactions begin with it."""
        if _in_memory(wrapper) or not takes_lock_at_once(wrapper):
            return None
        return LockPatience(wrapper, wrapper.settings_dict["OPTIONS"]["timeout"], is_given_up)

    def has_it_alone(self, wrapper: BaseDatabaseWrapper) -> bool:
        """Return True if the database is in memory."""
        return _in_memory(wrapper)

    def stop(self, wrapper: BaseDatabaseWrapper) -> None:
        """Interrupt the running statement."""
        connection: Any = wrapper.connection
        connection.interrupt()

    def is_closed(self, wrapper: BaseDatabaseWrapper) -> bool:  # noqa: ARG002 - as for all databases
        """Return False: no server can be lost."""
        return False

    def in_transaction(self, wrapper: BaseDatabaseWrapper) -> bool | None:
        """Return SQLite's own status."""
        return bool(getattr(wrapper.connection, "in_transaction", False))

    def effect_of(self, wrapper: BaseDatabaseWrapper, sql: Any) -> Effect:
        """Return a statement's effect. A PRAGMA that only reads a value leaves nothing."""
        if isinstance(sql, str):
            if _QUESTION.fullmatch(sql):
                return Effect.NONE
            if (setting := _SETTING.fullmatch(sql)) is not None and setting[1].lower() in _COMPARABLE:
                return Effect.RESETTABLE
        return super().effect_of(wrapper, sql)

    def snapshot(self, wrapper: BaseDatabaseWrapper) -> Any:
        """Return the values of PRAGMAs, and the names of attached databases and temporary tables."""
        connection: Any = wrapper.connection
        if connection is None:
            return None
        return _pragmas(connection), _attached(connection), _temporary(connection)

    def comparable_state(self, wrapper: BaseDatabaseWrapper) -> Any:
        """Return the same; None where the driver refuses to read it, as it may while another connection writes."""
        try:
            return self.snapshot(wrapper)
        except wrapper.Database.Error:  # type: ignore[attr-defined] # SQLite has it
            return None

    def changes_since(self, wrapper: BaseDatabaseWrapper, snapshot: Any) -> Any:
        """Return changed PRAGMAs, and new databases and temporary tables with their contents."""
        connection: Any = wrapper.connection
        before, attached, temporary = snapshot
        pragmas = {name: value for name, value in _pragmas(connection).items() if value != before.get(name)}
        databases = [_content(connection, name) for name in _attached(connection) - attached]
        tables = _temporary_content(connection, _temporary(connection) - temporary)
        return (pragmas, databases, tables) if pragmas or databases or tables else None

    def apply(self, wrapper: BaseDatabaseWrapper, changes: Any) -> None:
        """Attach databases and make tables again, and set PRAGMAs last, since they may forbid writing."""
        connection: Any = wrapper.connection
        pragmas, databases, tables = changes
        first = "temp_store"  # it drops all temporary tables
        if first in pragmas:
            connection.execute(f"PRAGMA {first} = {pragmas[first]}")
        there = _attached(connection)  # in a transaction a database that was written to cannot be detached
        for name, file, content in databases:
            if name not in there:
                connection.execute(f'ATTACH ? AS "{name}"', [file])
                if content:
                    connection.deserialize(content, name=name)
        for statement, insert, rows in tables:
            connection.execute(statement)
            if rows:
                connection.executemany(insert, rows)
        for name, value in pragmas.items():
            if name != first:
                connection.execute(f"PRAGMA {name} = {value}")

    def restore(self, wrapper: BaseDatabaseWrapper, snapshot: Any) -> None:
        """Restore PRAGMAs; detach the new databases and drop the new temporary tables."""
        connection: Any = wrapper.connection
        pragmas, attached, temporary = snapshot
        for name, value in pragmas.items():
            if _ask(connection, f"PRAGMA {name}").fetchone()[0] != value:
                connection.execute(f"PRAGMA {name} = {value}")
        for kind, name in _temporary(connection) - temporary:
            connection.execute(f'DROP {kind} IF EXISTS temp."{name}"')
        for name in _attached(connection) - attached:
            connection.execute(f'DETACH "{name}"')


_QUESTION: Final = re.compile(
    r"\s*PRAGMA\s+(?:\w+\s*|(?:\w+\.)?(?:table_x?info|table_list|index_list|index_x?info|foreign_key_list|"
    r"foreign_key_check|integrity_check|quick_check)\s*\([^;]*\)\s*);?\s*",
    re.IGNORECASE,
)
_SETTING: Final = re.compile(r"\s*PRAGMA\s+(\w+)\s*(?:=\s*-?\w+|\(\s*-?\w+\s*\))\s*;?\s*", re.IGNORECASE)
_CREATE: Final = re.compile(r"^(CREATE (?:UNIQUE )?(?:TABLE|INDEX|VIEW|TRIGGER) )", re.IGNORECASE)
"""The text that SQLite keeps of a temporary table, index, view or trigger: without TEMP."""
PRAGMAS: Final = (
    *("query_only", "foreign_keys", "defer_foreign_keys", "recursive_triggers", "ignore_check_constraints"),
    *("reverse_unordered_selects", "legacy_alter_table", "trusted_schema", "writable_schema", "cell_size_check"),
    *("automatic_index", "cache_size", "synchronous", "temp_store", "full_column_names", "short_column_names"),
    *("count_changes", "read_uncommitted", "secure_delete", "max_page_count", "locking_mode"),
)
"""The PRAGMAs that change the effect of statements on the same connection."""
_COMPARABLE: Final = frozenset(PRAGMAS) - {"locking_mode"}
"""Those that leave nothing when they have their first value again. A lock stays until the connection is used again."""


def _in_memory(wrapper: BaseDatabaseWrapper) -> bool:
    return bool(wrapper.is_in_memory_db())  # type: ignore[attr-defined] # SQLite has it


def _pragmas(connection: Any) -> dict[str, Any]:
    found = ((name, _ask(connection, f"PRAGMA {name}").fetchone()) for name in PRAGMAS)
    return {name: row[0] for name, row in found if row is not None}  # an older SQLite lacks some


def _ask(connection: Any, sql: str) -> Any:
    """Execute a query whose rows are tuples, whatever row factory code has set."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(sql)


def _content(connection: Any, name: str) -> tuple[str, str, bytes]:
    """Return an attached database's name and file, and its contents if it has no file."""
    file = next(file for _, each, file in _ask(connection, "PRAGMA database_list") if each == name)
    if Path(file).is_absolute():  # else it is in memory
        return name, file, b""
    is_empty = not _ask(connection, f'PRAGMA "{name}".page_count').fetchone()[0]
    return name, ":memory:", b"" if is_empty else connection.serialize(name=name)


def _temporary_content(connection: Any, names: set[tuple[str, str]]) -> list[tuple[str, str, list[Any]]]:
    """Return the statements that make the temporary tables and the rest again, tables first, with the tables' rows."""
    found = _ask(
        connection,
        "SELECT upper(type), name, sql FROM sqlite_temp_master WHERE sql IS NOT NULL ORDER BY type <> 'table', rowid",
    ).fetchall()
    made = []
    for kind, name, sql in found:
        if (kind, name) in names:
            rows = _ask(connection, f'SELECT * FROM temp."{name}"').fetchall() if kind == "TABLE" else []  # noqa: S608
            marks = ", ".join("?" * len(rows[0])) if rows else "NULL"
            made.append((_CREATE.sub(r"\1temp.", sql), f'INSERT INTO temp."{name}" VALUES ({marks})', rows))  # noqa: S608
    return made


def _attached(connection: Any) -> set[str]:
    return {name for _, name, _ in _ask(connection, "PRAGMA database_list")} - {"main", "temp"}


def _temporary(connection: Any) -> set[tuple[str, str]]:
    kinds = "('table', 'view', 'trigger', 'index')"
    rows = _ask(connection, f"SELECT upper(type), name FROM sqlite_temp_master WHERE type IN {kinds}")  # noqa: S608
    return {(kind, name) for kind, name in rows if not name.startswith("sqlite_")}


OPTIONS: Final = {"transaction_mode": "IMMEDIATE", "timeout": 30.0}
"""Defaults for a database file on a lease; ``OPTIONS`` in the settings wins. A deferred transaction that reads and then
writes fails with "database is locked" at once when another one wrote in between; an immediate one waits its turn."""

MOMENT: Final = 0.05
"""Seconds that SQLite itself waits for the lock, before DAF checks again."""

_turns: dict[str, FifoLock] = {}
_turns_lock = threading.Lock()


class LockPatience:
    """An execute wrapper that waits for a database file's write lock, up to ``timeout`` seconds."""

    def __init__(self, wrapper: BaseDatabaseWrapper, timeout: float, gone: Callable[[], bool]) -> None:
        self._wrapper = wrapper
        self._timeout = timeout
        self._gone = gone
        self.readers = 0
        """Iterations in progress on this connection, during which the file cannot be written to."""
        self.sqlite_waits: tuple[Any, float] = (None, timeout)
        self._turn = _turn_for(str(wrapper.settings_dict["NAME"]))

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
        """Execute a statement. Inside a transaction the connection has the lock, or waiting would be a deadlock."""
        if many or self._in_transaction():
            self._let_sqlite_wait(self._timeout)
            return execute(sql, params, many, context)
        result = self.wait_for_lock(lambda: execute(sql, params, many, context))
        if "RETURNING" in sql and not self.readers:
            self._let_sqlite_wait(self._timeout)  # INSERT … RETURNING commits when its last row is fetched
        return result

    def wait_for_lock(self, attempt: Callable[[], T]) -> T:
        """Make the attempt again until the database is not locked. Raises Django's OperationalError after the time."""
        self._let_sqlite_wait(MOMENT)
        try:
            return attempt()
        except OperationalError as error:
            if not _is_locked(error) or self._gone():
                raise
            if self.readers:  # the connection that has the lock may be waiting for these to finish reading
                raise OperationalError(_READING.format(alias=self._wrapper.alias)) from error
            _let_go_of_cursors(error)
        deadline = time.monotonic() + self._timeout
        with _Place(self._turn, deadline, self._gone):
            while True:
                try:
                    return attempt()
                except OperationalError as error:
                    if not _is_locked(error) or self._gone() or time.monotonic() > deadline:
                        raise
                    _let_go_of_cursors(error)

    def _let_sqlite_wait(self, seconds: float) -> None:
        """Set the time that SQLite itself waits, if it has another value. SQLite cannot be stopped meanwhile."""
        connection = self._wrapper.connection
        if connection is not None and self.sqlite_waits != (connection, seconds):
            connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
            self.sqlite_waits = (connection, seconds)

    def _in_transaction(self) -> bool:
        return bool(getattr(self._wrapper.connection, "in_transaction", False))


def takes_lock_at_once(wrapper: BaseDatabaseWrapper) -> bool:
    """Return True if transactions begin with the write lock. For others, only SQLite itself can wait."""
    mode = wrapper.settings_dict["OPTIONS"].get("transaction_mode") or ""
    return str(mode).upper() in {"IMMEDIATE", "EXCLUSIVE"}


def count_reader(wrapper: BaseDatabaseWrapper, change: int) -> None:
    """Record that an iteration on this connection has begun (1) or ended (-1)."""
    for execute_wrapper in wrapper.execute_wrappers:
        if isinstance(execute_wrapper, LockPatience):
            execute_wrapper.readers += change


_READING = (
    "database is locked: {alias!r} is being written to by another connection, and waiting for it could last for ever, "
    "because this task reads from it with aiterator(). Put the loop in transaction.atomic(), or load the rows first: "
    "async for over the queryset itself, or await queryset.alist()."
)


class _Place:
    """A place among this process's writers to one file. A writer that times out, or is cancelled, tries without it."""

    def __init__(self, turn: FifoLock, deadline: float, gone: Callable[[], bool]) -> None:
        self._turn, self._deadline, self._gone = turn, deadline, gone
        self._has_turn = False

    def __enter__(self) -> None:
        self._has_turn = self._turn.acquire_unless(lambda: self._gone() or time.monotonic() > self._deadline, MOMENT)

    def __exit__(self, *exc_info: object) -> None:
        if self._has_turn:
            self._turn.release()


def _turn_for(name: str) -> FifoLock:
    with _turns_lock:
        return _turns.setdefault(name, FifoLock())


def _let_go_of_cursors(error: BaseException) -> None:
    """Clear the frames of an attempt that is repeated: Django's errors refer to themselves, and live on."""
    traceback.clear_frames(error.__traceback__)


def _is_locked(error: OperationalError) -> bool:
    # Not SQLITE_BUSY_SNAPSHOT and its kind: those do not pass by waiting.
    return getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def _after_fork() -> None:
    """Forget all turns in the child of a fork: the parent's calls will not release them here."""
    global _turns, _turns_lock
    _turns, _turns_lock = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
