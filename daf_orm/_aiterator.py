"""Iterate over a large result in chunks, on one lease that is returned as soon as the loop is left."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import islice
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from django.db import connections

from daf_orm import _execution
from daf_orm._django.hops import on_event_loop
from daf_orm._django.owners import owner_here
from daf_orm.databases import sqlite
from daf_orm.databases.cancellation import cut_off_if_silent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from daf_orm._leases.scope import Scope

T = TypeVar("T")


class AsyncIteration(AsyncGenerator[T, None]):
    """The result of ``aiterator()``. It holds a lease from its first row to its last, to ``break`` or :meth:`aclose`.

    It has the methods of an async generator, as Django's has, and ``inspect.isasyncgen()`` returns True for it. But
    leaving the loop with ``break`` drops the last reference to this object, and its finalizer hands the server-side
    cursor to a worker thread at once. A generator would be finalized by the event loop, later, on the loop's thread.
    """

    ag_await = ag_frame = ag_code = None

    def __init__(self, queryset: QuerySet[Any, T], chunk_size: int) -> None:
        self._scope: Scope | None = None
        self._chunk_size = chunk_size
        self._started = False
        self._owner = owner_here() if on_event_loop() else None  # other tasks may drive it
        self._rows = _Rows(queryset, chunk_size)
        self._chunk: Iterator[T] = iter(())
        self._finished = False
        self._running = False

    if not TYPE_CHECKING:

        @property
        def __class__(self) -> type[Any]:
            return AsyncGeneratorType  # isinstance() asks for it

    @property
    def ag_running(self) -> bool:
        """True while it is fetching."""
        return self._running

    def __aiter__(self) -> Self:
        return self

    async def asend(self, value: None) -> T:
        """Return the next row; ``value`` is ignored. Raise TypeError where an unstarted generator would."""
        if value is not None and not self._started:
            raise TypeError("can't send non-None value to a just-started async generator")
        return await self.__anext__()

    async def athrow(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> NoReturn:
        """End the iteration, and raise the exception."""
        await self.aclose()
        error = typ if isinstance(typ, BaseException) else val if isinstance(val, BaseException) else _made(typ, val)
        raise error.with_traceback(tb) if tb is not None else error

    async def __anext__(self) -> T:
        self._start()
        for row in self._chunk:
            return row
        if not self._finished:
            await self._fetch_alone()
            for row in self._chunk:
                return row
        raise StopAsyncIteration

    def _start(self) -> None:
        """Raise ValueError for a wrong chunk size at the first row, as Django does."""
        if self._started or self._finished:
            return
        self._started = self._finished = True  # a generator that has raised is finished
        if self._chunk_size <= 0:
            raise ValueError("Chunk size must be strictly positive.")
        self._finished = False

    async def aclose(self) -> None:
        """Stop: close the cursor on a worker thread and return the lease. Idempotent."""
        if self._running:
            raise RuntimeError(_RUNNING)
        await self._end()

    async def _end(self) -> None:
        self._finished = True
        self._chunk = iter(())
        scope, self._scope = self._scope, None
        if scope is not None:
            await _execution.close_scope(scope, self._rows.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if self._scope is not None:
            _execution.abandon_scope(self._scope, self._rows.close)

    async def _fetch_alone(self) -> None:
        if self._running:
            raise RuntimeError(_RUNNING)
        self._running = True
        try:
            await self._fetch()
        finally:
            self._running = False

    async def _fetch(self) -> None:
        if self._scope is None:
            self._scope = await _execution.open_iteration(self._owner)
        try:
            chunk = await _execution.run_in(self._scope, self._rows.next_chunk)
        except GeneratorExit:  # the finalizer closes the cursor
            raise
        except BaseException:
            await self._end()
            raise
        self._chunk = iter(chunk)
        if len(chunk) < self._chunk_size:
            await self._end_keeping(iter(chunk))

    async def _end_keeping(self, chunk: Iterator[T]) -> None:
        """End the exhausted iteration. The fetched rows need no lease."""
        await self._end()
        self._chunk = chunk


def _made(typ: type[BaseException], val: Any) -> BaseException:
    return typ() if val is None else typ(val)


_RUNNING = "This aiterator() is already fetching for another task. Call aiterator() once for each task."


class _Rows(Generic[T]):
    """The rows, and with them the database cursor.

    It has no reference to the iteration. A worker thread may drop this object after the task has left the loop, and
    must not be the thread that finalizes the iteration.
    """

    def __init__(self, queryset: QuerySet[Any, T], chunk_size: int) -> None:
        self._queryset = queryset
        self._chunk_size = chunk_size
        self._rows: Iterator[T] | None = None
        self._wrapper: BaseDatabaseWrapper | None = None

    def next_chunk(self) -> list[T]:
        """Fetch the next rows, at most ``chunk_size`` of them."""
        self._wrapper = connections[self._queryset.db]  # raises while another task has a nested block open
        if self._rows is None:
            sqlite.count_reader(self._wrapper, 1)
            self._rows = iter(self._queryset.iterator(chunk_size=self._chunk_size))
        return list(islice(self._rows, self._chunk_size))

    def close(self, cancelled: bool) -> None:  # noqa: ARG002, FBT001 - the signature of a last call
        """Close the generator that reads from the cursor."""
        rows, self._rows = self._rows, None
        if rows is None or self._wrapper is None:
            return
        sqlite.count_reader(self._wrapper, -1)
        if (close := getattr(rows, "close", None)) is not None:
            with cut_off_if_silent(self._wrapper):
                close()
