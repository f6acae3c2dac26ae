"""The cost of an API: typed handlers beside django-modern-rest, django-ninja and adrf, the same API on each.

A POST whose body is checked and answered, and a list of a hundred rows with a relation. Each contestant is a process of
separate, driven through ASGI without a network, on an SQLite file, without middleware. They take turns: a round is one
turn of each in an order drawn anew, and a ratio compares two turns of the same round.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.processes import ROOT, Process
from benchmarks.tables import microseconds, print_table, ratio

CONTESTANTS = {
    "DAF": ("daf", "daf", "daf_views"),
    "DAF's views on Django's handler": ("daf", "stock", "daf_views"),
    "django-modern-rest": ("dmr", "stock", "dmr"),
    "django-ninja": ("ninja", "stock", "ninja"),
    "adrf": ("adrf", "stock", "adrf"),
}
ENDPOINTS = {"order": "POST of an order with five lines", "books": "a list of 100 rows with their authors"}


class Contestant(Process):
    """A process that answers requests when it is told to."""

    def __init__(self, name: str, file: str) -> None:
        framework, handler, _ = CONTESTANTS[name]
        super().__init__("benchmarks.api_worker", framework, handler, file)
        self.name = name
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def take_turn(self, endpoint: str, number: int) -> None:
        """Answer some requests, and remember the times that one took."""
        for kind, seconds in self.do(endpoint=endpoint, number=number).items():
            self.seconds[f"{endpoint} {kind}"].append(seconds)


def run(*, quick: bool) -> None:
    """Measure, and print a table for each endpoint."""
    rounds, number = (4, 20) if quick else (30, 50)
    present = [name for name, (_, _, module) in CONTESTANTS.items() if find_spec(module)]
    for name in CONTESTANTS.keys() - set(present):
        print(f"{name} takes no part: it is not installed.")
    print(f"{rounds} rounds of {number} requests. *x DAF*: this time over DAF's in the same round.")
    chance = random.Random(1)
    with TemporaryDirectory(prefix="daf-benchmarks-") as folder, ExitStack() as stack:
        file = f"{folder}/shop.sqlite3"
        subprocess.run([sys.executable, "-m", "benchmarks.api_worker", "seed", "stock", file], cwd=ROOT, check=True)
        contestants = [stack.enter_context(Contestant(name, file)) for name in present]
        for endpoint in ENDPOINTS:
            for _ in range(rounds):
                for contestant in chance.sample(contestants, len(contestants)):
                    contestant.take_turn(endpoint, number)
    ours = contestants[0].seconds
    for endpoint, meaning in ENDPOINTS.items():
        print(f"\n**{meaning}**\n")
        rows: list[tuple[Any, ...]] = [
            (
                each.name,
                microseconds(each.seconds[f"{endpoint} cpu"]),
                ratio(each.seconds[f"{endpoint} cpu"], ours[f"{endpoint} cpu"]),
                microseconds(each.seconds[f"{endpoint} wall"]),
                ratio(each.seconds[f"{endpoint} wall"], ours[f"{endpoint} wall"]),
            )
            for each in contestants
        ]
        print_table(("", "CPU, µs", "CPU x DAF", "wall, µs", "wall x DAF"), rows)
