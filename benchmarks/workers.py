"""The throughput of a worker with the tasks of a database: ``daf_worker`` beside django-tasks-db's ``db_worker``.

Each is a separate process on the same database, one after the other, in an order drawn anew each round. It is given a
batch of tasks and ends when none is left. *wait* are tasks that wait 20 ms for something else, as do most that send a
mail or call a service. *nothing* are tasks that do nothing, so that only the worker is measured. Times are wall
times of a batch, from the first task's start to the last one's end as the database has them.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import defaultdict
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.tables import print_table, ratio, spread
from tests.support.servers import PostgresServer

CONTESTANTS = {
    "daf_worker": ["daf_worker", "--batch", "--interval=0.1", "--concurrency=20"],
    "db_worker": ["db_worker", "--batch", "--no-startup-delay", "--interval=0.1", "--no-reload"],
}
KINDS = {"wait": "tasks that wait 20 ms", "nothing": "tasks that do nothing"}


def run(*, quick: bool) -> None:
    """Measure on PostgreSQL and on an SQLite file, and print a table for each."""
    rounds, tasks = (2, 30) if quick else (8, 200)
    print(f"{rounds} rounds of {tasks} tasks. *x daf_worker*: this time over daf_worker's in the same round.")
    with PostgresServer() as server:
        _measure(
            "PostgreSQL",
            {"NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1", "PORT": server.port},
            rounds,
            tasks,
        )
    with TemporaryDirectory(prefix="daf-benchmarks-") as folder:
        _measure("SQLite file", {"NAME": f"{folder}/tasks.sqlite3"}, rounds, tasks)


def _measure(title: str, database: dict[str, Any], rounds: int, tasks: int) -> None:
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    chance = random.Random(1)
    _do(database, "migrate")
    for kind in KINDS:
        for _ in range(rounds):
            for name in chance.sample(sorted(CONTESTANTS), len(CONTESTANTS)):
                seconds[kind, name].append(_do(database, kind, str(tasks), *CONTESTANTS[name]))
    rows = [
        (
            f"{KINDS[kind]}: {name}",
            f"{tasks / spread(seconds[kind, name])[1]:,.0f}",
            ratio(seconds[kind, name], seconds[kind, "daf_worker"]),
        )
        for kind in KINDS
        for name in CONTESTANTS
    ]
    print(f"\n### {title}\n")
    print_table(("", "tasks/s", "x daf_worker"), rows)


def _do(database: dict[str, Any], *orders: str) -> float:
    command = [sys.executable, "-m", "benchmarks.workers_worker", json.dumps(database), *orders]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return float(done.stdout or 0)
