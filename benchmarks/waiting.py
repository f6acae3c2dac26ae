"""The cost of waiting for a connection: 10,000 callers at once on 20 connections, all of which are lent when they come.

Each contestant is a separate process. *bare tasks* wait for an event: the cost of any caller to asyncio. *longest wait*
is from the first connection that comes back until the last caller has one. *overtaken*: the most callers that had their
connection before one that came earlier; a fair queue has 0. *late*: how much longer than its place in the queue says
one waited, at most, as a share of the longest wait; it is 0 if every call takes equally long.
"""

from __future__ import annotations

import json

from benchmarks.native import FLOOR
from benchmarks.processes import Process
from benchmarks.tables import print_table
from tests.support.servers import PostgresServer

CONNECTIONS = 20
CONTESTANTS = {
    "bare tasks": "",
    "DAF native": "daf_orm.backends.postgresql",
    "DAF on threads": "django.db.backends.postgresql",
    "psycopg_pool": "",
}
"""By name the engine, where there is one."""


def run(*, quick: bool) -> None:
    """Measure each contestant once, and print a table."""
    callers = 1000 if quick else 10_000
    print(f"{callers} callers, {CONNECTIONS} connections. Memory is what the process grew by while all of them wait.\n")
    with PostgresServer() as server:
        database = {"NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1", "PORT": str(server.port)}
        with Process("benchmarks.native_worker", FLOOR, json.dumps(database)) as floor:
            floor.do(seed=True)
        rows = []
        for name in CONTESTANTS:
            with Process("benchmarks.waiting_worker", name, json.dumps(database)) as process:
                found = process.do(callers=callers)
            served = [f"{found['longest']:.2f}", found["overtaken"], f"{100 * found['late']:.1f} %"]
            memory = f"{found['bytes'] / callers / 1024:.1f}"
            rows.append((name, memory, found["threads"], *(served if name != "bare tasks" else [""] * len(served))))
    print_table(("", "KiB per waiter", "threads +", "longest wait, s", "overtaken", "late"), rows)
