"""Iterate over a large result in chunks, on one lease that is given back as soon as the loop is left."""

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
    """What ``aiterator()`` returns. It holds a lease from its first row to its last, its loop's end, or :meth:`aclose`.

    It has what an async generator has, as Django's has, and ``inspect.isasyncgen()`` says that it is one. But leaving
    the loop with ``break`` drops the last reference to this object, and its finalizer hands the server-side cursor to a
    worker thread at once. A generator would be finalized by the event loop, later, and on the loop's own thread.
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
            return AsyncGeneratorType  # which is what isinstance() asks

    @property
    def ag_running(self) -> bool:
        """Whether it is fetching."""
        return self._running

    def __aiter__(self) -> Self:
        return self

    async def asend(self, value: None) -> T:
        """Return the next row; ``value`` goes nowhere. Raise TypeError as a generator that has not started does."""
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
        """Refuse what Django's refuses, when Django's does: at the first row."""
        if self._started or self._finished:
            return
        self._started = self._finished = True  # a generator that has raised is finished
        if self._chunk_size <= 0:
            raise ValueError("Chunk size must be strictly positive.")
        self._finished = False

    async def aclose(self) -> None:
        """Stop: close the cursor on a worker thread and give the lease back. Idempotent."""
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
        except GeneratorExit:  # the finalizer sees to it
            raise
        except BaseException:
            await self._end()
            raise
        self._chunk = iter(chunk)
        if len(chunk) < self._chunk_size:
            await self._end_keeping(iter(chunk))

    async def _end_keeping(self, chunk: Iterator[T]) -> None:
        """The result is exhausted: the lease is not needed for the rows in hand."""
        await self._end()
        self._chunk = chunk


def _made(typ: type[BaseException], val: Any) -> BaseException:
    return typ() if val is None else typ(val)


_RUNNING = "This aiterator() is already fetching for another task. Give each task an iterator of its own."


class _Rows(Generic[T]):
    """The rows, and with them the database cursor.

    Without a reference to the iteration: a worker thread may let go of this later than the task has left the loop, and
    must not be the one who finalizes the iteration.
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
