"""The cost of telling the database which rows a request may see: by ``CONFIGURE``, by a statement, or not at all.

A table with row-level security on PostgreSQL, ``MAX_SIZE`` 10, DAF's handler, driven through ASGI without a network.
Each kind is a separate process; they take turns, and a ratio compares two turns of the same round. *untouched* sets
nothing, *set_config* pins a connection to each request and resets its session, *session* is ``POOL_MODE = "session"``
without either.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import psycopg

from benchmarks.processes import Process
from benchmarks.tables import microseconds, print_table, ratio, spread
from tests.support.servers import PostgresServer

KINDS = ("untouched", "CONFIGURE", "set_config", "session")
AT_ONCE, UPSTREAM, ONE_BY_ONE = 200, 0.2, 100
TABLE = """
    CREATE TABLE rows_row (id bigserial PRIMARY KEY, owner varchar(50));
    INSERT INTO rows_row (owner) SELECT 't' || n % 100 FROM generate_series(0, 999) n;
    ALTER TABLE rows_row ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON rows_row USING (owner = current_setting('app.tenant', true));
    CREATE ROLE app LOGIN NOBYPASSRLS;
    GRANT ALL ON rows_row TO app;
"""


class Contestant(Process):
    """A process that answers requests when it is told to."""

    def __init__(self, kind: str, database: Mapping[str, Any]) -> None:
        super().__init__("benchmarks.sessions_worker", kind, json.dumps(database))
        self.name = kind
        self.walls: list[float] = []
        self.cpus: list[float] = []
        self.pinned = self.refused = 0

    def take_turn(self, *, counts: bool) -> None:
        """Answer many at once that wait for something else, and then some one by one that do not."""
        many = self.do(requests=AT_ONCE, at_once=True, upstream=UPSTREAM)
        one = self.do(requests=ONE_BY_ONE, at_once=False, upstream=0.0)
        if counts:
            self.walls.append(many["wall"] / (AT_ONCE - many["refused"]))
            self.refused += int(many["refused"])
            self.cpus.append(one["cpu"] / ONE_BY_ONE)
            self.pinned = max(self.pinned, int(many["pinned"]))


def run(*, quick: bool) -> None:
    """Measure, and print a table."""
    rounds = 3 if quick else 10
    print(
        f"{rounds} rounds; {AT_ONCE} requests at once, each with two queries and {1000 * UPSTREAM:.0f} ms for "
        f"something else between them, then {ONE_BY_ONE} one by one without that: CPU time of one.\n"
    )
    with PostgresServer() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(TABLE)
        contestants = _measure(
            {"NAME": "postgres", "USER": "app", "HOST": "127.0.0.1", "PORT": str(server.port)}, rounds
        )
    untouched = contestants[0]
    print_table(
        ("", "requests/s", "throughput x untouched", "pinned at most", "refused", "CPU µs", "CPU x untouched"),
        [
            (
                each.name,
                f"{1 / spread(each.walls)[1]:.0f}",
                ratio(untouched.walls, each.walls),
                each.pinned,
                each.refused,
                microseconds(each.cpus),
                ratio(each.cpus, untouched.cpus),
            )
            for each in contestants
        ],
    )


def _measure(database: Mapping[str, Any], rounds: int) -> list[Contestant]:
    chance = random.Random(1)
    with ExitStack() as stack:
        contestants = [stack.enter_context(Contestant(kind, database)) for kind in KINDS]
        for number in range(-1, rounds):
            for contestant in chance.sample(contestants, len(contestants)):
                contestant.take_turn(counts=number >= 0)
        return contestants
