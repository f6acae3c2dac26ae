"""The instructions of a whole request: the same requests as in ``native``, with bytecode instructions in place of time.

A busy machine changes none of it, so a change of a hundredth shows. The work of C code is not in it: read it
beside the times.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

from benchmarks.native import FLOOR, WORK, start_contestants
from benchmarks.opcodes import CAN_COUNT
from benchmarks.tables import print_table
from tests.support.servers import PostgresServer

CALLERS = 20
_COLUMNS = {
    "django": ("django", "asgiref"),
    "driver": ("psycopg", "psycopg_pool", "asyncpg"),
    "daf_orm": ("daf_orm",),
    "daf_views": ("daf_views",),
}


def run(*, quick: bool) -> None:
    """Count on PostgreSQL and print a table for each piece of work."""
    if not CAN_COUNT:
        print("SKIPPED: Python 3.12 is the first that can count.")
        return
    requests = 40 if quick else 200
    print(f"Bytecode instructions of one request, of {requests} with {CALLERS} at once, by package.\n")
    with PostgresServer() as server, ExitStack() as stack:
        processes = start_contestants(server, stack)
        for work, meaning in WORK.items():
            print(f"\n**{meaning}**\n", flush=True)
            order = {"work": work, "callers": CALLERS, "requests": requests}
            for process in processes.values():
                process.do(**order)  # the first requests fill caches
            found = {name: Counter(process.do(count=True, **order)["count"]) for name, process in processes.items()}
            _print({name: {key: number / requests for key, number in each.items()} for name, each in found.items()})


def _print(found: dict[str, dict[str, float]]) -> None:
    floor = sum(found[FLOOR].values())
    rows = []
    for name, counts in found.items():
        columns = [sum(counts.get(package, 0) for package in packages) for packages in _COLUMNS.values()]
        total = sum(counts.values())
        shown = [f"{number:,.0f}" for number in (total, *columns, total - sum(columns))]
        rows.append((name, shown[0], f"{total / floor:.2f}", *shown[1:]))
    print_table(("", "instructions", "x floor", *_COLUMNS, "other"), rows)
