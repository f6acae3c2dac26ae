"""A database cursor for async code, on a separate lease or on that of the surrounding transaction."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, NotSupportedError, connections

from daf_orm import _execution
from daf_orm._leases.cursors import LeasedCursor
from daf_orm._leases.lease import Copying
from daf_orm._leases.scope import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from types import TracebackType

    from django.db.backends.utils import CursorWrapper

Row = tuple[Any, ...]
T = TypeVar("T")


class AsyncCursor:
    """Django's cursor with awaitable methods. Made by :class:`cursor`.

    Parameters and results are those of :pep:`249` as Django passes them through; errors are those of ``django.db``.
    """

    def __init__(self, cursor: CursorWrapper, scope: Scope, using: str) -> None:
        self._cursor = cursor
        self._scope = scope
        self._using = using

    async def execute(self, sql: Any, params: Any = None) -> Self:
        """Execute a statement; returns the cursor, so that it can be iterated over."""
        await self._run(functools.partial(self._cursor.execute, sql, params))
        return self

    async def executemany(self, sql: Any, param_list: Sequence[Any]) -> Self:
        """Execute a statement once for each set of parameters."""
        await self._run(functools.partial(self._cursor.executemany, sql, param_list))
        return self

    async def callproc(self, procname: str, params: Sequence[Any] | None = None) -> Any:
        """Call a stored procedure, where the database has them."""
        return await self._run(functools.partial(self._cursor.callproc, procname, params))

    async def fetchone(self) -> Row | None:
        """Return the next row; None if there are no more."""
        return await self._run(self._cursor.fetchone)

    async def fetchmany(self, size: int | None = None) -> list[Row]:
        """Return the next ``size`` rows at most (default: :attr:`arraysize`); an empty list if there are no more."""
        return await self._run(lambda: list(self._cursor.fetchmany(size or self.arraysize)))

    async def fetchall(self) -> list[Row]:
        """Return all remaining rows."""
        return await self._run(lambda: list(self._cursor.fetchall()))

    async def __aiter__(self) -> AsyncIterator[Row]:
        """Iterate over the remaining rows, fetched a hundred per thread hop."""
        while rows := await self.fetchmany(_ROWS_PER_HOP):
            for row in rows:
                yield row

    def copy(self, sql: Any, params: Any = None) -> AsyncCopy:
        """Start PostgreSQL's COPY: ``async with cur.copy("COPY t (a, b) FROM STDIN") as copy``.

        Raises NotSupportedError on other databases. Source: psycopg's ``Cursor.copy()``.
        """
        if not hasattr(self._cursor.cursor, "copy"):
            raise NotSupportedError("COPY needs PostgreSQL with psycopg 3; use executemany() on other databases.")
        return AsyncCopy(self._cursor, self._scope, sql, params)

    async def _run(self, func: Callable[[], T]) -> T:
        """Run ``func`` on the cursor's lease, if the task may use it now."""

        def checked() -> T:
            connections[self._using]  # raises while another task has a nested block open
            return func()

        return await _execution.run_in(self._scope, checked)

    @property
    def description(self) -> Any:
        """Describe the result's columns, as in :pep:`249`; None if there is no result."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """Number of rows that the last statement produced or changed."""
        return int(self._cursor.rowcount)

    @property
    def lastrowid(self) -> Any:
        """Key of the last row inserted, where the driver has it."""
        return self._cursor.lastrowid

    @property
    def arraysize(self) -> int:
        """Rows that :meth:`fetchmany` returns by default."""
        return int(self._cursor.arraysize)


class AsyncCopy:
    """A COPY in progress: written to with :meth:`write` and :meth:`write_row`, or read from by iteration."""

    def __init__(self, cursor: CursorWrapper, scope: Scope, sql: Any, params: Any) -> None:
        self._cursor, self._sql, self._params = cursor, sql, params
        self._cursor_scope = scope
        self._context: Any = None
        self._copy: Any = None
        self._scope: Scope | None = None

    async def __aenter__(self) -> Self:
        self._scope = await _execution.open_scope(within=self._cursor_scope)
        try:
            await _execution.run_in(self._scope, self._begin)
        except GeneratorExit:
            _execution.abandon_scope(self._scope, self._undo)
            raise
        except BaseException:
            await _execution.close_scope(self._scope, self._undo)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._scope is not None

        def end(cancelled: bool) -> None:  # noqa: ARG001, FBT001 - the signature of a last call
            self._finish(exc_type, exc, traceback)

        if exc_type is GeneratorExit:
            _execution.abandon_scope(self._scope, end)
        else:
            await _execution.close_scope(self._scope, end)

    async def write(self, data: bytes | str) -> None:
        """Send data in the format of the COPY statement."""
        await self._run(lambda: self._copy.write(data))

    async def write_row(self, row: Sequence[Any]) -> None:
        """Send one row of Python values."""
        await self._run(lambda: self._copy.write_row(row))

    async def write_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """Send many rows in one thread hop. ``rows`` is consumed there: it must not await or query."""

        def write() -> None:
            for row in rows:
                self._copy.write_row(row)

        await self._run(write)

    async def read(self) -> bytes:
        """Return the next block of data; empty at the end."""
        return bytes(await self._run(self._copy.read))

    async def rows(self) -> AsyncIterator[Row]:
        """Iterate over the rows of a COPY … TO STDOUT, fetched a hundred per thread hop."""
        while rows := await self._run(self._read_rows):
            for row in rows:
                yield row

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    async def _run(self, func: Callable[[], T]) -> T:
        """Run a step of the copy, whose errors psycopg raises past Django's cursor."""

        def run() -> T:
            with self._cursor.db.wrap_database_errors:
                return func()

        assert self._scope is not None
        return await _execution.run_in(self._scope, run)

    def _begin(self) -> None:
        assert self._scope is not None
        if isinstance(self._cursor, LeasedCursor):
            self._cursor.look_at_copy(self._sql)
        context = self._cursor.cursor.copy(self._sql, self._params)
        with self._cursor.db.wrap_database_errors:
            self._copy = context.__enter__()
        self._context = context
        self._scope.lease.copying = Copying(self._scope, self._abort)

    def _finish(self, *exc_info: Any) -> None:
        """End the COPY, once."""
        assert self._scope is not None
        context, self._context = self._context, None
        if context is None:
            return
        self._scope.lease.copying = None
        with self._cursor.db.wrap_database_errors:
            context.__exit__(*exc_info)

    def _abort(self) -> None:
        error = InterfaceError("The cursor or transaction around the COPY has ended.")
        with suppress(type(error), Error):  # psycopg raises it again
            self._finish(type(error), error, None)

    def _undo(self, cancelled: bool) -> None:  # noqa: ARG002, FBT001 - the signature of a last call
        """End a COPY whose task was cancelled as it began."""
        self._abort()

    def _read_rows(self) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < _ROWS_PER_HOP and (row := self._copy.read_row()) is not None:
            rows.append(row)
        return rows


class cursor:  # noqa: N801 - used like the function it stands for
    """Open a cursor on the database ``using``: ``async with cursor() as cur: await cur.execute(sql, params)``.

    Inside ``transaction.atomic`` it is part of the transaction. Elsewhere it holds its own lease until the block ends,
    in autocommit. Raises :exc:`daf_orm.exceptions.PoolTimeout` if no lease becomes free within ``TIMEOUT`` seconds.
    """

    def __init__(self, using: str | None = None) -> None:
        self.using = using or DEFAULT_DB_ALIAS
        self._scope: Scope | None = None
        self._cursor: CursorWrapper | None = None

    if not TYPE_CHECKING:  # `with` is an error to type checkers

        def __enter__(self) -> None:
            raise TypeError("daf_orm.cursor() is asynchronous: use `async with`.")

        def __exit__(self, *exc_info: object) -> None:
            """Never reached; Python looks it up before it enters."""

    async def __aenter__(self) -> AsyncCursor:
        if self._scope is not None:
            raise RuntimeError("This cursor() is already open; call cursor() again for each `async with`.")
        self._scope = await _execution.open_scope()
        try:
            await _execution.run_in(self._scope, self._open)
        except GeneratorExit:
            _execution.abandon_scope(self._scope, self._close)
            raise
        except BaseException:
            await _execution.close_scope(self._scope, self._close)
            raise
        assert self._cursor is not None
        return AsyncCursor(self._cursor, self._scope, self.using)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope, self._scope = self._scope, None
        assert scope is not None
        if exc_type is GeneratorExit:  # the task was dropped: nothing can be awaited any more
            _execution.abandon_scope(scope, self._close)
        else:
            await _execution.close_scope(scope, self._close)

    def _open(self) -> None:
        self._cursor = connections[self.using].cursor()

    def _close(self, cancelled: bool) -> None:  # noqa: ARG002, FBT001 - the signature of a last call
        if self._cursor is not None:
            self._cursor.close()


_ROWS_PER_HOP = 100
