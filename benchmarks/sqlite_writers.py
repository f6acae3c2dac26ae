"""The defaults that keep concurrent writers on an SQLite file from "database is locked", and their cost.

Each setting has a separate file and process; they take turns, round by round.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from benchmarks.contestants import DAF
from benchmarks.processes import Worker, sqlite_file
from benchmarks.tables import print_table

WRITERS = 20
KINDS = {
    "read, then write": "an `atomic` block that reads a row, awaits 1 ms of something else, and writes it",
    "plain write": "one `aupdate()` in autocommit",
    "read only": "an `atomic` block that reads, awaits 1 ms of something else, and reads again",
}
_WAL = {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"}
_DEFERRED = {"transaction_mode": None, "timeout": 5.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """``OPTIONS`` of the alias, and whether the writers queue before they ask SQLite."""

    name: str
    options: Mapping[str, Any]
    queue: bool = False


SETTINGS = (
    Setting(name="deferred, 5 s (Django's default)", options=_DEFERRED),
    Setting(name="IMMEDIATE, 5 s", options={"transaction_mode": "IMMEDIATE", "timeout": 5.0}),
    Setting(name="IMMEDIATE, 30 s (DAF's default)", options={}),
    Setting(name="deferred, 5 s, WAL", options={**_DEFERRED, **_WAL}),
    Setting(name="IMMEDIATE, 30 s, WAL", options=_WAL),
    Setting(name="IMMEDIATE, 30 s, queued", options={}, queue=True),
    Setting(name="IMMEDIATE, 30 s, WAL, queued", options=_WAL, queue=True),
)


def run(*, quick: bool) -> None:
    """Run every kind of work under every setting, and print a table for each kind."""
    rounds, each = (1, 5) if quick else (2, 30)
    print(
        f"{WRITERS} tasks on {WRITERS} leases of one process do {each} transactions each, on one row, "
        f"without retrying; {rounds} rounds, the settings in turn. Errors are summed up over the rounds, "
        "seconds are the median round's, waits are per transaction: the median round's median and the worst "
        "of all. Lost: updates that were reported as done and are not in the row. *queued* holds an "
        "`asyncio.Lock` around each transaction, as a queue in the process would. WAL: "
        "`journal_mode=WAL; synchronous=NORMAL`; the others have SQLite's `DELETE` and `FULL`."
    )
    with ExitStack() as stack:
        workers = {setting: stack.enter_context(_worker(setting, stack)) for setting in range(len(SETTINGS))}
        for kind, meaning in KINDS.items():
            outcomes: dict[int, list[dict[str, Any]]] = defaultdict(list)
            for _ in range(rounds):
                for number, worker in workers.items():
                    queue = SETTINGS[number].queue
                    outcome = worker.do(do="write", kind=kind, writers=WRITERS, each=each, queue=queue)
                    outcomes[number].append(outcome)
            print(f"\n**{kind}: {meaning}**\n")
            head = ("", "done", "locked errors", "lost", "seconds", "median wait ms", "worst wait ms")
            print_table(head, [_row(SETTINGS[number].name, outcomes[number]) for number in outcomes])


def _worker(setting: int, stack: ExitStack) -> Worker:
    database = stack.enter_context(sqlite_file())
    return Worker(DAF, {**database, "OPTIONS": dict(SETTINGS[setting].options), "DAF_ORM": {"MAX_SIZE": WRITERS}})


def _row(name: str, outcomes: list[dict[str, Any]]) -> tuple[object, ...]:
    return (
        name,
        sum(outcome["done"] for outcome in outcomes),
        sum(sum(outcome["errors"].values()) for outcome in outcomes),
        sum(outcome["lost"] for outcome in outcomes),
        f"{statistics.median(outcome['wall'] for outcome in outcomes):.2f}",
        f"{statistics.median(outcome['median'] for outcome in outcomes) * 1000:.0f}",
        f"{max(outcome['worst'] for outcome in outcomes) * 1000:.0f}",
    )
