"""The cost of a network between the application and its server: a read-modify-write in a block, over 2 ms each way.

Each contestant has a separate proxy, which delays every byte and counts round trips. Requests come one after the
other, so a time is that of one request. Without latency they are the same as those of ``native``.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from contextlib import ExitStack
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.native import FLOOR, SETUPS
from benchmarks.processes import Process
from benchmarks.tables import print_table, ratio, spread
from tests.support.latency import LatencyProxy
from tests.support.servers import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Mapping

DELAY = 0.002
"""Seconds each way."""
WORK = {"one": "one row by primary key", "change": "read for update, change and write, in a transaction"}


def run(*, quick: bool) -> None:
    """Measure each contestant, and print a table for each piece of work."""
    rounds, requests = (3, 10) if quick else (10, 50)
    print(
        f"{rounds} rounds of {requests} requests, {DELAY * 1000:.0f} ms each way. Round trips are those of a request.\n"
    )
    with PostgresServer() as server, ExitStack() as stack:
        database = {"NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1", "PORT": str(server.port)}
        with Process("benchmarks.native_worker", FLOOR, json.dumps(database)) as floor:
            floor.do(seed=True)
        contestants = {}
        for name, setup in SETUPS.items():
            if missing := [module for module in setup.requires if find_spec(module) is None]:
                print(f"{name} takes no part: {', '.join(missing)} is not installed.\n")
            elif not setup.is_floor:
                proxy = stack.enter_context(LatencyProxy(server.port, delay=DELAY))
                process = Process("benchmarks.native_worker", name, json.dumps(database | {"PORT": str(proxy.port)}))
                contestants[name] = (stack.enter_context(process), proxy)
        for work, meaning in WORK.items():
            print(f"\n**{meaning}**\n", flush=True)
            _print(_measure(contestants, rounds, {"work": work, "callers": 1, "requests": requests}))


def _measure(
    contestants: Mapping[str, tuple[Process, LatencyProxy]], rounds: int, order: Mapping[str, Any]
) -> dict[str, list[tuple[float, float]]]:
    """Return for each contestant a median time and the round trips of a request, by round."""
    found = defaultdict(list)
    chance = random.Random(1)
    for number in range(-1, rounds):
        for name in chance.sample(list(contestants), len(contestants)):
            process, proxy = contestants[name]
            before = proxy.round_trips
            answer = process.do(**order)
            if number >= 0:
                found[name].append((answer["p50"], (proxy.round_trips - before) / order["requests"]))
    return found


def _print(found: Mapping[str, list[tuple[float, float]]]) -> None:
    times = {name: [seconds for seconds, _ in samples] for name, samples in found.items()}
    rows = [
        (
            name,
            f"{spread([trips for _, trips in samples])[1]:.1f}",
            "{1:.1f} ({0:.1f}-{2:.1f})".format(*(1000 * seconds for seconds in spread(times[name]))),
            ratio(times[name], times["DAF native"]) if "DAF native" in times else "",
        )
        for name, samples in found.items()
    ]
    print_table(("", "round trips", "wall ms", "x native"), sorted(rows, key=lambda row: list(SETUPS).index(row[0])))
