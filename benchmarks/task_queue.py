"""The cost of a full queue: many tasks that do nothing, three ``daf_worker`` processes, one PostgreSQL.

The tasks are in the database before the workers start. Each worker is a process with room for 20 tasks, which counts
the statements that it sends, and ends when nothing is due. *tasks/s* is all tasks over the time from the first start to
the last end, as the database has them. *statements per task* are those of all workers, with those that
found nothing. *recover()* is the worker's search, every few seconds, for tasks of lost workers, here among tasks that
have ended, with the index of ``daf_tasks`` and without.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from benchmarks.processes import ROOT
from benchmarks.tables import print_table, spread
from tests.support.servers import PostgresServer

WORKERS = 3


def run(*, quick: bool) -> None:
    """Measure, and print two tables."""
    rounds, tasks = (2, 500) if quick else (2, 20_000)
    print(f"{rounds} rounds of {tasks:,} tasks, {WORKERS} workers.\n")
    with PostgresServer() as server:
        database = json.dumps({"NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1", "PORT": server.port})
        _call(database, "migrate")
        measured = [_round(database, tasks) for _ in range(rounds)]
        recovery = _call(database, "recover")
    rows = [
        (
            number + 1,
            f"{tasks / each['seconds']:,.0f}",
            f"{each['statements'] / tasks:.2f}",
            f"{each['ended']:,} of {tasks:,}",
            f"{each['attempts']:,}",
            " ".join(f"{share:,}" for share in each["shares"]),
        )
        for number, each in enumerate(measured)
    ]
    head = ("round", "tasks/s", "statements per task", "successful", "attempts", "tasks of each worker")
    print_table(head, rows)
    print()
    milliseconds = {name: f"{spread(seconds)[1] * 1000:.2f}" for name, seconds in recovery.items()}
    print_table((f"recover() among {tasks:,} tasks that have ended", "ms"), milliseconds.items())


def _round(database: str, tasks: int) -> dict[str, Any]:
    _call(database, "fill", str(tasks))
    workers = [_start(database, "work") for _ in range(WORKERS)]
    statements = sum(_answer(worker) for worker in workers)
    return {**_call(database, "report"), "statements": statements}


def _call(database: str, *orders: str) -> Any:
    return _answer(_start(database, *orders))


def _start(database: str, *orders: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.task_queue_worker", database, *orders]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def _answer(process: subprocess.Popen[str]) -> Any:
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} has ended with {process.returncode}.")
    return json.loads(output)
