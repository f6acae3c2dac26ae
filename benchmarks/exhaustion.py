"""The effect of a rush on PostgreSQL: 1,000 concurrent HTTP requests against a server that takes 60 connections.

The bookshop of ``examples/bookshop``, and the same queries with stock Django alone, each served by one
uvicorn process on the same tables. Counted: answers, PostgreSQL sessions at the peak, and once all is quiet.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks.contestants import POOL_SIZE
from benchmarks.http_load import Load, send_all
from benchmarks.processes import ROOT
from benchmarks.sampling import Peaks, Sessions
from benchmarks.tables import print_table
from tests.support.servers import PostgresServer

MAX_CONNECTIONS = 60
REQUESTS = 1000
RUSHES = 2
PAGES = 150  # of 20 books; the bookshop has 3,000
START_SECONDS = 30.0
STOP_SECONDS = 30.0
SETTLE_SECONDS = 3.0
BOOKSHOP = ROOT / "examples" / "bookshop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """An ASGI application to serve."""

    name: str
    application: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rush:
    """The outcome of one rush."""

    load: Load
    peak_sessions: int
    sessions_after: int


DAF = Shop(
    name="DAF",
    application="bookshop.asgi:application",
    folder=BOOKSHOP,
    environment={"BOOKSHOP_TIMEOUT": "120"},  # as long as the requests themselves may take: machines differ
)
STOCK = Shop(name="stock", application="benchmarks.stock_shop.asgi:application", folder=ROOT)
SHOPS = (
    DAF,
    STOCK,
    Shop(
        name="stock + pool",
        application="benchmarks.stock_shop.asgi:application",
        folder=ROOT,
        environment={"STOCK_SHOP_POOL": str(POOL_SIZE)},
    ),
)


def run(*, quick: bool) -> None:
    """Rush each shop in turn and print what came back."""
    if missing := [module for module in ("uvicorn", "dj_database_url") if find_spec(module) is None]:
        print(f"Not run: {', '.join(missing)} is not installed.")
        return
    rushes = 1 if quick else RUSHES
    print(
        f"PostgreSQL with max_connections = {MAX_CONNECTIONS}; {rushes} rushes of {REQUESTS:,} requests, all "
        "sent at once over loopback by this process, each on a separate connection: a page of 20 books "
        "with its count (2 queries), a book with its relations (2), the report (5 gathered), in turn. "
        "Uvicorn, one process per shop; DAF on the handler of daf_views, the others on Django's. "
        f"DAF: at most {POOL_SIZE} leases. stock: `CONN_MAX_AGE = 0`. "
        f'stock + pool: `OPTIONS["pool"]` with 4 to {POOL_SIZE} connections.\n'
    )
    with PostgresServer(max_connections=MAX_CONNECTIONS) as server, Sessions(server.url) as sessions:
        prepare(server)
        rows = [_row(shop, number, rush(shop, server, sessions)) for number in range(1, rushes + 1) for shop in SHOPS]
    head = (
        "",
        "rush",
        "answered 200",
        "errors",
        "peak sessions",
        "after",
        "seconds",
        "median s",
        "slowest s",
    )
    print_table(head, rows)


def rush(shop: Shop, server: PostgresServer, sessions: Sessions) -> Rush:
    """Serve the shop on the server's tables and send it all requests at once."""
    paths = [path(index) for index in range(REQUESTS)]
    with serve(shop, server) as port:
        with Peaks({"sessions": sessions.count}) as peaks:
            load = asyncio.run(send_all(port, paths))
        time.sleep(SETTLE_SECONDS)
        return Rush(load=load, peak_sessions=peaks.highest["sessions"], sessions_after=sessions.count())


def _row(shop: Shop, number: int, rush: Rush) -> tuple[object, ...]:
    load = rush.load
    return (
        shop.name,
        number,
        load.outcomes["200"],
        _errors(load),
        rush.peak_sessions,
        rush.sessions_after,
        f"{load.wall:.1f}",
        f"{statistics.median(load.seconds):.1f}",
        f"{max(load.seconds):.1f}",
    )


def path(index: int) -> str:
    """Return the path of one request: a page of books, a book or the report, in turn."""
    return (f"/books/?page={index % PAGES + 1}&page_size=20", f"/books/{index + 1}/", "/report/")[index % 3]


def _errors(load: Load) -> str:
    if not load.errors:
        return "0"
    kinds = ", ".join(f"{count} x {outcome}" for outcome, count in sorted(load.errors.items()))
    return f"{sum(load.errors.values())} ({kinds})"


def prepare(server: PostgresServer) -> None:
    """Make the bookshop's tables and rows."""
    for command in ("migrate", "seed"):
        subprocess.run(
            [sys.executable, "manage.py", command],
            cwd=BOOKSHOP,
            env=_environment(server, {}),
            check=True,
            stdout=subprocess.DEVNULL,
        )


@contextmanager
def serve(shop: Shop, server: PostgresServer) -> Iterator[int]:
    """Serve the shop from a separate process, on the server's tables. Yield its port once it answers."""
    port = _free_port()
    options = f"--host 127.0.0.1 --port {port} --log-level critical --no-access-log --timeout-graceful-shutdown 5"
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", shop.application, *options.split()],
        cwd=shop.folder,
        env=_environment(server, shop.environment),
    )
    try:
        _wait_until_it_answers(process, port)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(server: PostgresServer, extra: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return {**inherited, "PYTHONPATH": str(ROOT), "DATABASE_URL": server.url, **extra}


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"Uvicorn ended with status {process.returncode}.")
        with suppress(ConnectionError):
            load = asyncio.run(send_all(port, ["/books/1/"]))
            if load.outcomes["200"]:
                return
        time.sleep(0.1)
    raise RuntimeError(f"The shop did not answer within {START_SECONDS} s.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
