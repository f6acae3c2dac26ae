"""The cost of a query: DAF beside stock Django and django-async-backend, one caller at a time.

Each contestant has a separate process. They take turns, so that other work of the machine falls on all of them alike.
A round is one turn of each, in an order drawn anew, and a ratio compares two turns of the same round.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from benchmarks.contestants import CONTESTANTS, DAF, print_conditions
from benchmarks.processes import Worker, WorkerError, postgresql, sqlite_file, workers
from benchmarks.tables import microseconds, print_table, ratio

QUERIES = {
    "aget": "one `aget` by primary key",
    "list": "a list of 20 rows",
    "gather": "five gathered `aget`s",
}
PLACES = {
    "warm": "inside a request whose connection is open: the query alone",
    "request": "a whole request through Django's `ASGIHandler` in process: no middleware, no network",
}
WARM_UP = 2

Samples = dict[str, dict[str, list[float]]]


def run(*, quick: bool) -> None:
    """Measure on PostgreSQL and on an SQLite file, and print a table for each."""
    rounds, repeat = (4, 5) if quick else (30, 10)
    print_conditions(tuple(CONTESTANTS.values()))
    for place, meaning in PLACES.items():
        print(f"- *{place}*: {meaning}.")
    print(
        f"\n{rounds} rounds of {repeat} runs. Times: µs per run, median and quartiles over the rounds. "
        "CPU is that of the contestant's process with all its threads; the server's is not in it. "
        f"`x {DAF.name}`: this time divided by {DAF.name}'s in the same round; above 1 is slower than it."
    )
    for title, database in {"PostgreSQL": postgresql, "SQLite file": sqlite_file}.items():
        print(f"\n### {title}\n")
        with database() as address, workers(tuple(CONTESTANTS.values()), address) as contestants:
            _measure(contestants, rounds, repeat)


def _measure(contestants: list[Worker], rounds: int, repeat: int) -> None:
    for query, meaning in QUERIES.items():
        for place in PLACES:
            print(f"\n**{meaning}, {place}**\n")
            samples, failures = _rounds(contestants, rounds, {"query": query, "where": place, "repeat": repeat})
            _print(samples, failures)


def _rounds(contestants: list[Worker], rounds: int, work: Mapping[str, Any]) -> tuple[Samples, dict[str, str]]:
    samples: Samples = defaultdict(lambda: {"wall": [], "cpu": []})
    failures: dict[str, str] = {}
    running = list(contestants)
    chance = random.Random(1)
    for number in range(-WARM_UP, rounds):
        for worker in chance.sample(running, len(running)):  # none always follows the same neighbour
            try:
                sample = worker.do(do="time", **work)
            except WorkerError as error:
                failures[worker.contestant.name] = str(error)
                running.remove(worker)
                continue
            if number >= 0:
                for clock, seconds in sample.items():
                    samples[worker.contestant.name][clock].append(seconds)
    return samples, failures


def _print(samples: Samples, failures: Mapping[str, str]) -> None:
    reference = samples[DAF.name]
    rows = [
        (
            name,
            microseconds(samples[name]["wall"]),
            ratio(samples[name]["wall"], reference["wall"]),
            microseconds(samples[name]["cpu"]),
            ratio(samples[name]["cpu"], reference["cpu"]),
        )
        for name in CONTESTANTS
        if name in samples and name not in failures
    ]
    rows += [(name, f"failed: {reason}", "", "", "") for name, reason in failures.items()]
    print_table(("", "wall µs", f"wall x {DAF.name}", "CPU µs", f"CPU x {DAF.name}"), rows)
