"""The cost of a whole request on the event loop itself: DAF native beside DAF on threads, stock and a peer.

The floor is the synchronous ORM in a tight loop, with the same work and the same JSON, and nothing around it.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.processes import Process
from benchmarks.tables import microseconds, print_table, ratio
from tests.support.servers import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Mapping

CALLERS = (1, 20, 200)
WORK = {
    "one": "one row by primary key",
    "many": "20 rows with a join",
    "gathered": "five rows, gathered",
    "change": "read for update, change and write, in a transaction",
}
FLOOR = "sync ORM alone"
_POOL = {"pool": {"min_size": 4, "max_size": 10}}


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to serve the requests."""

    engine: str
    spelling: str = "stock"
    apps: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    handler: str = "django.core.asgi:get_asgi_application"
    requires: tuple[str, ...] = ()
    is_floor: bool = False
    keeps_plans: bool = False
    is_django: bool = True
    """Else the engine is a driver's name, and the handler is called with it and the database."""


def _fastapi(driver: str) -> Setup:
    return Setup(
        f"postgresql+{driver}",
        handler="benchmarks.catalog.fastapi_app:application",
        requires=("fastapi", "sqlalchemy", driver),
        is_django=False,
    )


_DAF = {"spelling": "daf", "apps": ("daf_orm", "daf_views"), "handler": "daf_views.asgi:get_asgi_application"}
SETUPS = {
    FLOOR: Setup("django.db.backends.postgresql", is_floor=True),
    "sync ORM, plans kept": Setup("django.db.backends.postgresql", apps=("daf_orm",), is_floor=True, keeps_plans=True),
    "DAF native": Setup("daf_orm.backends.postgresql", requires=("greenlet",), **_DAF),
    "DAF on threads": Setup("django.db.backends.postgresql", **_DAF),
    "DAF native, plans kept": Setup("daf_orm.backends.postgresql", requires=("greenlet",), keeps_plans=True, **_DAF),
    "DAF on threads, plans kept": Setup("django.db.backends.postgresql", keeps_plans=True, **_DAF),
    "stock + pool": Setup("django.db.backends.postgresql", options=_POOL, requires=("psycopg_pool",)),
    "async-backend + pool": Setup(
        "django_async_backend.db.backends.postgresql",
        spelling="async_backend",
        apps=("django_async_backend",),
        options=_POOL,
        requires=("django_async_backend", "psycopg_pool"),
    ),
    "FastAPI + asyncpg": _fastapi("asyncpg"),
    "FastAPI + psycopg": _fastapi("psycopg"),
}


def settings_of(setup: Setup, database: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a contestant's process."""
    return {
        "DATABASES": {"default": {"ENGINE": setup.engine, "OPTIONS": dict(setup.options), **database}},
        "INSTALLED_APPS": [*setup.apps, "benchmarks.catalog"],
        "ROOT_URLCONF": "benchmarks.catalog.urls",
        "BENCHMARK_SPELLING": setup.spelling,
        "ALLOWED_HOSTS": ["testserver"],
        "MIDDLEWARE": [],
        "USE_TZ": True,
        **({"DAF_ORM": {"KEEP_PLANS": {}}} if setup.keeps_plans else {}),
    }


def run(*, quick: bool) -> None:
    """Measure each piece of work with 1, 20 and 200 requests at once."""
    rounds, requests = (3, 40) if quick else (20, 200)
    print(
        f"{rounds} rounds of {requests} requests each, in process, without middleware. CPU is that of the process with "
        "all its threads, µs per request; `x floor` divides it by the floor's in the same round, `x native` by that of "
        "DAF native. p50 and p99 are of the last round, in ms.\n"
    )
    with PostgresServer() as server, ExitStack() as stack:
        processes = start_contestants(server, stack)
        for work, meaning in WORK.items():
            for callers in CALLERS:
                print(f"\n**{meaning}, {callers} at once**\n", flush=True)
                _print(_measure(processes, rounds, {"work": work, "callers": callers, "requests": requests}))


def start_contestants(server: PostgresServer, stack: ExitStack) -> dict[str, Process]:
    """Start the processes of those that can take part, until the stack ends; say which cannot."""
    database = {"NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1", "PORT": str(server.port)}
    processes = {}
    for name, setup in SETUPS.items():
        if missing := [module for module in setup.requires if find_spec(module) is None]:
            print(f"{name} takes no part: {', '.join(missing)} is not installed.\n")
            continue
        process = Process("benchmarks.native_worker", name, json.dumps(database))
        processes[name] = stack.enter_context(process)
    processes[FLOOR].do(seed=True)
    return processes


def _measure(processes: Mapping[str, Process], rounds: int, order: Mapping[str, Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    chance = random.Random(1)
    for number in range(-1, rounds):
        for name in chance.sample(list(processes), len(processes)):
            answer = processes[name].do(**order)
            if number >= 0:
                found[name].append(answer)
    return found


def _print(found: Mapping[str, list[Any]]) -> None:
    cpu = {name: [each["cpu"] for each in answers] for name, answers in found.items()}
    rows = [
        (
            name,
            microseconds(cpu[name]),
            ratio(cpu[name], cpu[FLOOR]),
            ratio(cpu[name], cpu["DAF native"]) if "DAF native" in cpu else "",
            f"{found[name][-1]['p50'] * 1000:.1f}",
            f"{found[name][-1]['p99'] * 1000:.1f}",
        )
        for name in SETUPS
        if name in found
    ]
    print_table(("", "CPU µs", "x floor", "x native", "p50 ms", "p99 ms"), rows)
