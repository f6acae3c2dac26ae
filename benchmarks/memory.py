"""The cost of concurrency: memory, threads and PostgreSQL sessions at 1, 100 and 1,000 concurrent callers.

Each figure comes from a separate process, as Python seldom gives memory back.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.contestants import ASYNC_BACKEND_POOL, DAF, STOCK, STOCK_POOL, Contestant, print_conditions
from benchmarks.processes import Worker, WorkerError, postgresql
from benchmarks.sampling import Peaks, Sessions
from benchmarks.tables import print_table

CALLERS = (1, 100, 1000)
MAX_CONNECTIONS = 1100
SETTLE_SECONDS = 0.5
MEGABYTE = 1024 * 1024

CONTESTANTS = (DAF, STOCK, STOCK_POOL, ASYNC_BACKEND_POOL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The work of each caller."""

    where: str
    meaning: str
    queries: int
    pause: float = 0.0


CROWDS = (
    Crowd(
        where="tasks",
        meaning="tasks in a `ThreadSensitiveContext` as in a request, without Django's handler: 5 `aget`s",
        queries=5,
    ),
    Crowd(
        where="requests",
        meaning="requests through Django's `ASGIHandler`, whose signals take a thread each: 5 `aget`s",
        queries=5,
    ),
    Crowd(
        where="pausing",
        meaning="tasks as above that await something else for 1 s (another service, say) between 2 `aget`s",
        queries=2,
        pause=1.0,
    ),
)


def run(*, quick: bool) -> None:
    """Measure every contestant with every number of callers, and print a table for each place."""
    print_conditions(CONTESTANTS)
    print(
        "A caller runs its queries one after the other; all callers start at once. RSS is what the process "
        "gained over its size before the callers came, at its peak. PostgreSQL runs with max_connections = "
        f"{MAX_CONNECTIONS}, so that a session per caller is possible; `exhaustion` shows what happens "
        "where it is not. Sessions after: 0.5 s later."
    )
    for crowd in CROWDS:
        print(f"\n**{crowd.meaning}**\n")
        with postgresql(max_connections=MAX_CONNECTIONS) as database, Sessions(_url(database)) as sessions:
            rows = [
                _measure(contestant, database, sessions, crowd, callers)
                for callers in (CALLERS[:2] if quick else CALLERS)
                for contestant in CONTESTANTS
            ]
        head = ("callers", "", "RSS + MiB", "threads", "sessions", "sessions after", "seconds", "errors")
        print_table(head, rows)


def _measure(
    contestant: Contestant, database: Mapping[str, Any], sessions: Sessions, crowd: Crowd, callers: int
) -> tuple[object, ...]:
    if contestant.missing:
        return (
            callers,
            contestant.name,
            f"{', '.join(contestant.missing)} is not installed",
            "",
            "",
            "",
            "",
            "",
        )
    with Worker(contestant, database) as worker:
        process = psutil.Process(worker.process.pid)
        worker.do(do="crowd", callers=1, where=crowd.where, times=1)  # everything is imported, every pool is open
        before = process.memory_info().rss
        figures = {
            "rss": lambda: process.memory_info().rss,
            "threads": process.num_threads,
            "sessions": sessions.count,
        }
        try:
            with Peaks(figures) as peaks:
                work = {"where": crowd.where, "times": crowd.queries, "pause": crowd.pause}
                outcome = worker.do(do="crowd", callers=callers, **work)
        except WorkerError as error:
            return (callers, contestant.name, f"failed: {error}", "", "", "", "", "")
        time.sleep(SETTLE_SECONDS)
        highest = peaks.highest
        return (
            callers,
            contestant.name,
            f"{(highest['rss'] - before) / MEGABYTE:.1f}",
            highest["threads"],
            highest["sessions"],
            sessions.count(),
            f"{outcome['wall']:.2f}",
            _counted(outcome["errors"]),
        )


def _counted(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in errors.items()) or "0"


def _url(database: Mapping[str, Any]) -> str:
    return f"postgresql://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
