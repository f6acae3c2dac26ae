"""The process of one contestant of ``waiting``: ``python -m benchmarks.waiting_worker NAME DATABASE``.

It reads one JSON object per line, ``{"callers"}``, and answers with one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import django
import psutil
from django.conf import settings

from benchmarks.waiting import CONNECTIONS, CONTESTANTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PATIENCE = 600.0
"""Seconds that a caller may wait."""


class BareTasks:
    """Callers that wait for an event."""

    def __init__(self) -> None:
        self._go, self._waiting = asyncio.Event(), 0

    @contextlib.asynccontextmanager
    async def all_lent(self) -> AsyncIterator[None]:
        """Have everything in use."""
        yield
        self._go.set()

    async def call(self, note: Callable[[], None]) -> None:
        """Wait."""
        self._waiting += 1
        await self._go.wait()
        note()

    def waiting(self) -> int:
        """Return how many wait."""
        return self._waiting


class Daf:
    """DAF's pool, by either engine."""

    def __init__(self) -> None:
        self._transaction = import_module("daf_orm").transaction
        self._pool = import_module("daf_orm").get_pool()
        self._books = import_module("benchmarks.catalog.models").Book.objects

    @contextlib.asynccontextmanager
    async def all_lent(self) -> AsyncIterator[None]:
        """Lend all connections to blocks that wait for something else."""
        held, go = asyncio.Semaphore(0), asyncio.Event()

        async def hold() -> None:
            async with self._transaction.atomic():
                await self._books.acount()
                held.release()
                await go.wait()

        holders = [asyncio.create_task(hold()) for _ in range(CONNECTIONS)]
        for _ in holders:
            await held.acquire()
        yield
        go.set()
        await asyncio.gather(*holders)

    async def call(self, note: Callable[[], None]) -> None:
        """Get one row in a transaction."""
        async with self._transaction.atomic():
            note()
            await self._books.aget(pk=1)

    def waiting(self) -> int:
        """Return how many wait."""
        return int(self._pool.get_stats()["requests_waiting"])


class PsycopgPool:
    """psycopg's pool of asynchronous connections, and SQL by hand."""

    def __init__(self, database: dict[str, Any]) -> None:
        names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
        self._pool = import_module("psycopg_pool").AsyncConnectionPool(
            kwargs={names[key]: value for key, value in database.items()},
            min_size=CONNECTIONS,
            max_size=CONNECTIONS,
            timeout=PATIENCE,
            open=False,
        )

    @contextlib.asynccontextmanager
    async def all_lent(self) -> AsyncIterator[None]:
        """Lend all connections."""
        await self._pool.open(wait=True)
        lent = [await self._pool.getconn() for _ in range(CONNECTIONS)]
        yield
        for connection in lent:
            await self._pool.putconn(connection)

    async def call(self, note: Callable[[], None]) -> None:
        """Get one row in a transaction."""
        async with self._pool.connection() as connection, connection.transaction():
            note()
            cursor = await connection.execute("SELECT id, title, price, created FROM catalog_book WHERE id = 1")
            await cursor.fetchone()

    def waiting(self) -> int:
        """Return how many wait."""
        return int(self._pool.get_stats()["requests_waiting"])


async def measure(contestant: Any, callers: int) -> dict[str, float]:
    """Have so many callers wait, and then served."""
    process, served = psutil.Process(), {}

    async def call(number: int) -> None:
        await contestant.call(lambda: served.setdefault(number, time.perf_counter()))

    async with contestant.all_lent():
        gc.collect()
        memory, threads = process.memory_info().rss, process.num_threads()
        tasks = [asyncio.create_task(call(number)) for number in range(callers)]
        while contestant.waiting() < callers:  # noqa: ASYNC110 - it is a figure of a pool
            await asyncio.sleep(0.01)
        gc.collect()
        found = {"bytes": process.memory_info().rss - memory, "threads": process.num_threads() - threads}
        began = time.perf_counter()
    await asyncio.gather(*tasks)
    waits = [served[number] - began for number in range(callers)]
    late = max(wait - max(waits) * (number + 1) / callers for number, wait in enumerate(waits))
    return found | {
        "longest": max(waits),
        "overtaken": max(place - number for place, number in enumerate(served)),
        "late": late / max(waits),
    }


def main(name: str, database: dict[str, Any]) -> None:
    """Obey until the input ends."""
    settings.configure(
        DAF_ORM={"MAX_SIZE": CONNECTIONS, "TIMEOUT": PATIENCE},
        DATABASES={"default": {"ENGINE": CONTESTANTS[name] or "django.db.backends.postgresql", **database}},
        INSTALLED_APPS=["daf_orm", "benchmarks.catalog"],
        BENCHMARK_SPELLING="daf",
        USE_TZ=True,
    )
    django.setup()

    async def answer(order: dict[str, Any]) -> dict[str, float]:
        if name == "psycopg_pool":
            return await measure(PsycopgPool(database), **order)
        return await measure(BareTasks() if name == "bare tasks" else Daf(), **order)

    loops = {"loop_factory": import_module("uvloop").new_event_loop} if find_spec("uvloop") else {}
    with asyncio.Runner(**loops) as runner:
        for line in sys.stdin:
            print(json.dumps(runner.run(answer(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
