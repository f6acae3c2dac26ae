"""Concurrent writers on one SQLite file, in a DAF worker: the child's side of ``sqlite_writers``."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from django.db import OperationalError
from django.db.models import F

from benchmarks.library.models import Book
from daf_orm import AsyncManager, transaction

THINKING = 0.001
"""Seconds that a read-then-write transaction awaits something else in between, as application code does."""


@dataclass(slots=True)
class Tally:
    """The outcomes of the transactions."""

    waits: list[float] = field(default_factory=list)
    done: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Count one, with the time it took, whether it succeeds or not."""
        started = time.perf_counter()
        try:
            yield
        except OperationalError as error:
            self.errors[str(error)] += 1
        else:
            self.done += 1
        finally:
            self.waits.append(time.perf_counter() - started)


async def run(kind: str, writers: int, each: int, *, queue: bool) -> dict[str, Any]:
    """Let ``writers`` tasks do ``each`` transactions of a kind, in a queue of this process if ``queue``.

    Return seconds, transactions done, errors by message, the waits' median and maximum, and the updates that
    are missing from the row.
    """
    Book.add_to_class("async_books", AsyncManager())
    tally = Tally()
    turn = asyncio.Lock() if queue else nullcontext()
    before = (await Book.async_books.aget(pk=1)).pages
    started = time.perf_counter()
    await asyncio.gather(*(_writer(KINDS[kind], tally, turn, each) for _ in range(writers)))
    wall = time.perf_counter() - started
    written = (await Book.async_books.aget(pk=1)).pages - before
    waits = sorted(tally.waits)
    return {
        "wall": wall,
        "done": tally.done,
        "errors": tally.errors,
        "median": waits[len(waits) // 2],
        "worst": waits[-1],
        "lost": 0 if kind == "read only" else tally.done - written,
    }


async def _writer(kind: Callable[[], Awaitable[None]], tally: Tally, turn: Any, each: int) -> None:
    for _ in range(each):
        with tally.attempt():
            async with turn:
                await kind()


async def _read_then_write() -> None:
    async with transaction.atomic():
        book = await Book.async_books.aget(pk=1)
        await asyncio.sleep(THINKING)
        await Book.async_books.filter(pk=1).aupdate(pages=book.pages + 1)


async def _plain_write() -> None:
    await Book.async_books.filter(pk=1).aupdate(pages=F("pages") + 1)


async def _read_only() -> None:
    async with transaction.atomic():
        await Book.async_books.aget(pk=1)
        await asyncio.sleep(THINKING)
        await Book.async_books.aget(pk=2)


KINDS: dict[str, Callable[[], Awaitable[None]]] = {
    "read, then write": _read_then_write,
    "plain write": _plain_write,
    "read only": _read_only,
}
