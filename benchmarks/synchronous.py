"""The cost of DAF for synchronous Django: instructions counted by ``valgrind --tool=callgrind``, not times.

A process runs one thing so many times, another so many times more; the difference of their instructions, over that of
their runs, is what one run takes. The count does not depend on what else the machine does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from tempfile import TemporaryDirectory

from benchmarks.processes import ROOT
from benchmarks.tables import print_table

WORK = {
    "connection": ("`connections[alias]`", 500, 4_500),
    "cursor": ("`connection.cursor()`, opened and closed", 50, 550),
    "atomic": ("a block that reads a row and counts the table", 10, 60),
}
_COLLECTED = re.compile(r"Collected : (\d+)")


def run(*, quick: bool) -> None:
    """Count, on SQLite in memory, and print a table."""
    if shutil.which("valgrind") is None:
        print("SKIPPED: valgrind is not installed.")
        return
    for name, (meaning, *_) in WORK.items():
        print(f"- *{name}*: {meaning}.")
    print("\nInstructions of one run, on SQLite in memory.\n")
    rows = []
    for name, (_, few, many) in WORK.items():
        if quick:
            few, many = few // 5, many // 5  # noqa: PLW2901 - the same, less
        stock, daf = (_instructions(kind, name, few, many) for kind in ("stock", "daf"))
        rows.append((name, f"{stock:,.0f}", f"{daf:,.0f}", f"{daf / stock:.3f}"))
    print_table(("run", "stock Django", "with DAF", "with / stock"), rows)


def _instructions(kind: str, name: str, few: int, many: int) -> float:
    return (_count(kind, name, many) - _count(kind, name, few)) / (many - few)


def _count(kind: str, name: str, times: int) -> int:
    with TemporaryDirectory() as directory:
        done = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", f"--callgrind-out-file={directory}/out"),
                *(sys.executable, "-m", "benchmarks.synchronous_worker", kind, name, str(times)),
            ],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": "0"},
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    found = _COLLECTED.search(done.stderr)
    assert found is not None, done.stderr
    return int(found[1])
