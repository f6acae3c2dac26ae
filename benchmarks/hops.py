"""The cost of a thread hop: calls on DAF's pool beside a bare ``run_in_executor`` of the same query, and on one core.

One process measures all of it in turn, round by round. On one core no two threads can fight for the interpreter's lock:
the extra cost of gathered calls on all cores is that fight.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.processes import ROOT, postgresql
from benchmarks.tables import microseconds, print_table, ratio

NAMES = {
    "bare": "`run_in_executor` of a `get`",
    "aget": "`aget`",
    "gathered 5": "each of 5 gathered `aget`s",
    "gathered 20": "each of 20 gathered `aget`s",
}


def run(*, quick: bool) -> None:
    """Measure on PostgreSQL, and print a table."""
    rounds = 20 if quick else 200
    print(f"CPU µs per call, of the process with all its threads: median and quartiles over {rounds} rounds.\n")
    with postgresql() as database:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.hops_worker", json.dumps(database), str(rounds)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout)
    if "one" not in found:
        print("This system binds no process to a core: one column is missing.\n")
    rows = []
    for name, meaning in NAMES.items():
        everywhere, alone = found["all"][name], found.get("one", {}).get(name)
        rows.append(
            (
                meaning,
                microseconds(everywhere),
                ratio(everywhere, found["all"]["bare"]),
                ratio(everywhere, alone) if alone else "",
            )
        )
    print_table(("", "CPU µs", "/ bare", "/ on one core"), rows)
