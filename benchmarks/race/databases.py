"""The databases of a race: one with all rows, and a copy of it for each contender."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory

import psycopg

from benchmarks.sampling import Sessions
from tests.support.latency import LatencyProxy
from tests.support.servers import PostgresServer

ORIGIN = "race"
LATENCY = 0.001
"""Seconds there and back."""
Database = Mapping[str, str]
"""The values that ``DATABASES`` holds for it, and its ``vendor``."""
Seed = Callable[[Database], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Databases:
    """Copies of the rows."""

    label: str
    vendor: str
    copy: Callable[[], Database]
    """Make another one."""
    count_sessions: Callable[[Database], int]


@contextmanager
def postgresql(seed: Seed, *, max_connections: int, latency: float = 0.0) -> Iterator[Databases]:
    """Start a server on loopback, behind a proxy if there is latency."""
    with PostgresServer(max_connections=max_connections) as server, Sessions(server.url) as sessions:
        numbers = itertools.count(1)
        with LatencyProxy(server.port, delay=latency / 2) as proxy:
            port = str(proxy.port if latency else server.port)

            def copy() -> Database:
                name = f"{ORIGIN}_{next(numbers)}"
                _execute(server, f"CREATE DATABASE {name} TEMPLATE {ORIGIN}")
                return _at(name, port)

            _execute(server, f"CREATE DATABASE {ORIGIN}")
            seed(_at(ORIGIN, str(server.port)))
            with psycopg.connect(server.url, dbname=ORIGIN, autocommit=True) as connection:
                connection.execute("VACUUM ANALYZE")  # not in the middle of a measurement
            yield Databases(
                label=_label(latency),
                vendor="postgresql",
                copy=copy,
                count_sessions=lambda database: sessions.count(database["NAME"]),
            )


@contextmanager
def sqlite(seed: Seed) -> Iterator[Databases]:
    """Make files, in the system's folder for temporary ones."""
    with TemporaryDirectory(prefix="daf-race-") as folder:
        numbers = itertools.count(1)

        def copy() -> Database:
            name = f"{folder}/{ORIGIN}_{next(numbers)}.sqlite3"
            shutil.copyfile(f"{folder}/{ORIGIN}.sqlite3", name)
            return {"vendor": "sqlite", "NAME": name}

        seed({"vendor": "sqlite", "NAME": f"{folder}/{ORIGIN}.sqlite3"})
        yield Databases(label="SQLite", vendor="sqlite", copy=copy, count_sessions=lambda _database: 0)


def _label(latency: float) -> str:
    return f"PostgreSQL, {latency * 1000:.0f} ms away" if latency else "PostgreSQL"


def _at(name: str, port: str) -> Database:
    return {"vendor": "postgresql", "NAME": name, "USER": "postgres", "HOST": "127.0.0.1", "PORT": port}


def _execute(server: PostgresServer, statement: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement)
