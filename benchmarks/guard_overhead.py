"""The cost of blocking detection where nothing blocks: Django with the guard up beside Django without it.

Both are measured in one process for each database, which puts the guard up and takes it down. They take turns: a round
is one turn of each in an order drawn anew, and a ratio compares two turns of the same round. Times are CPU times of the
process: the guard adds computing, and on the wall clock other work of the machine would hide it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from benchmarks.processes import ROOT, postgresql
from benchmarks.tables import microseconds, print_table, ratio, spread

POINTS = {
    "async_unsafe": "a function that Django marks `async_unsafe`",
    "driver": "`with connection.wrap_database_errors`, around each call of a driver",
    "row": "a row of a cursor that is iterated",
}
QUERIES = {
    "get": "`Book.objects.get(pk=…)`, synchronous",
    "aget": "`await Book.objects.aget(pk=…)`, on the event loop",
}

Samples = dict[str, list[float]]
"""Seconds for each, with the guard ``on``, ``off`` and off ``again``, a number for each round."""


def run(*, quick: bool) -> None:
    """Measure on SQLite in memory and on PostgreSQL, and print two tables for each."""
    rounds = 10 if quick else 200
    for name, meaning in {**POINTS, **QUERIES}.items():
        print(f"- *{name}*: {meaning}.")
    print(
        f"\n{rounds} rounds, CPU time. *off* is stock Django. *added* is on minus off in the same round; *mean* "
        "is what a guarded call of such a query adds, by the first table, and *share* what all of them add to the time "
        "that the query takes with *off*. *off / off* is that of two turns without the guard in the same round: by how "
        "much the same code differs from itself."
    )
    for title, database in {"SQLite in memory": _memory, "PostgreSQL": postgresql}.items():
        with database() as address:
            measured = _measure(address, rounds)
        print(f"\n### {title}\n")
        _print_points(measured["points"])
        print()
        _print_queries(measured)


def _memory() -> AbstractContextManager[dict[str, Any]]:
    return nullcontext({"vendor": "sqlite", "NAME": ":memory:"})


def _measure(database: Mapping[str, Any], rounds: int) -> Any:
    command = [sys.executable, "-m", "benchmarks.guard_worker", json.dumps(dict(database)), str(rounds)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _print_points(points: Mapping[str, Samples]) -> None:
    rows = [
        (name, _nanoseconds(samples["off"]), _nanoseconds(samples["on"]), _nanoseconds(_added(samples)))
        for name, samples in points.items()
    ]
    print_table(("guarded call, ns", "off", "on", "added"), rows)


def _print_queries(measured: Mapping[str, Any]) -> None:
    rows = []
    for name, samples in measured["queries"].items():
        calls = measured["calls"][name]
        added = sum(count * spread(_added(measured["points"][point]))[1] for point, count in calls.items())
        rows.append(
            (
                name,
                microseconds(samples["off"]),
                microseconds(samples["on"]),
                ratio(samples["on"], samples["off"]),
                ratio(samples["again"], samples["off"]),
                ", ".join(f"{count} {point}" for point, count in calls.items()),
                f"{added / sum(calls.values()) * 1e9:.0f} ns",
                f"{added / spread(samples['off'])[1]:.2%}",
            )
        )
    print_table(("query, µs", "off", "on", "on / off", "off / off", "guarded calls", "mean", "share"), rows)


def _added(samples: Samples) -> list[float]:
    return [on - off for on, off in zip(samples["on"], samples["off"], strict=True)]


def _nanoseconds(seconds: Sequence[float]) -> str:
    first, median, third = (value * 1e9 for value in spread(seconds))
    return f"{median:.0f} ({first:.0f}-{third:.0f})"
