"""The process that :mod:`benchmarks.guard_overhead` measures: ``python -m benchmarks.guard_worker DATABASE ROUNDS``."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings

from benchmarks.contestants import DAF

REPEAT_CALLS = 20_000
REPEAT_QUERIES = 50
WARM_UP = 3
STATES = ("on", "off", "again")
"""``again`` is a second *off*: the difference between two runs of the same."""

Run = Callable[[int], float]
"""Does something so many times; returns the seconds of CPU that it took."""


def main(database: dict[str, Any], rounds: int) -> None:
    """Measure everything and print it as JSON."""
    settings.configure(**DAF.settings(database))
    django.setup()
    from django.db import connection  # noqa: PLC0415 - settings first

    if connection.vendor == "sqlite":
        from benchmarks.library.seeding import seed  # noqa: PLC0415

        seed()
    gc.disable()  # a collection would burden one contestant
    with asyncio.Runner() as runner:
        points = {name: _rounds(run, REPEAT_CALLS, rounds) for name, run in _points().items()}
        queries = _queries(runner)
        calls = {name: _count(run) for name, run in queries.items()}
        times = {name: _rounds(run, REPEAT_QUERIES, rounds) for name, run in queries.items()}
    print(json.dumps({"points": points, "queries": times, "calls": calls}))


def _rounds(run: Run, repeat: int, rounds: int) -> dict[str, list[float]]:
    from daf_orm.detection import guard  # noqa: PLC0415

    samples: dict[str, list[float]] = {state: [] for state in STATES}
    chance = random.Random(1)
    for number in range(-WARM_UP, rounds):
        for state in chance.sample(STATES, len(STATES)):
            (guard.activate if state == "on" else guard.deactivate)()
            seconds = run(repeat) / repeat
            if number >= 0:
                samples[state].append(seconds)
        gc.collect()
    return samples


def _points() -> dict[str, Run]:
    from django.db import connection  # noqa: PLC0415
    from django.db.backends.utils import CursorWrapper  # noqa: PLC0415
    from django.utils.asyncio import async_unsafe  # noqa: PLC0415

    refused = async_unsafe(_nothing)

    def unsafe(repeat: int) -> float:
        started = time.process_time()
        for _ in range(repeat):
            refused()
        return time.process_time() - started

    def driver(repeat: int) -> float:
        errors = connection.wrap_database_errors
        started = time.process_time()
        for _ in range(repeat):
            with errors:
                pass
        return time.process_time() - started

    def row(repeat: int) -> float:
        cursor = CursorWrapper([()] * repeat, connection)
        started = time.process_time()
        for _ in cursor:
            pass
        return time.process_time() - started

    return {"async_unsafe": unsafe, "driver": driver, "row": row}


def _nothing() -> None:
    """Do nothing: the measured work stands around it."""


def _queries(runner: asyncio.Runner) -> dict[str, Run]:
    from benchmarks.library.models import Book  # noqa: PLC0415

    def get(repeat: int) -> float:
        started = time.process_time()
        for number in range(repeat):
            Book.objects.get(pk=number + 1)
        return time.process_time() - started

    async def timed(repeat: int) -> float:
        started = time.process_time()
        for number in range(repeat):
            await Book.objects.aget(pk=number + 1)
        return time.process_time() - started

    return {"get": get, "aget": lambda repeat: runner.run(timed(repeat))}


def _count(run: Run) -> Counter[str]:
    """Return how often one query passes each point."""
    run(1)  # the connection is open from here on
    with _counted() as calls:
        run(1)
    return calls


@contextmanager
def _counted() -> Iterator[Counter[str]]:
    from django.db.utils import DatabaseErrorWrapper  # noqa: PLC0415
    from django.utils import asyncio as unsafe  # noqa: PLC0415

    calls: Counter[str] = Counter()
    enter, find = DatabaseErrorWrapper.__enter__, unsafe.get_running_loop

    def counted_enter(self: Any) -> Any:
        calls["driver"] += 1
        return enter(self)

    def counted_find() -> Any:
        calls["async_unsafe"] += 1
        return find()

    DatabaseErrorWrapper.__enter__, unsafe.get_running_loop = counted_enter, counted_find
    try:
        yield calls
    finally:
        DatabaseErrorWrapper.__enter__, unsafe.get_running_loop = enter, find


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]))
