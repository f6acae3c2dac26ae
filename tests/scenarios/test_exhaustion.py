"""A rush on a server that takes 60 connections: the bookshop answers 1,000 requests, stock Django not even 250."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import django
import psycopg
import pytest

from benchmarks.contestants import POOL_SIZE
from benchmarks.exhaustion import DAF, MAX_CONNECTIONS, REQUESTS, STOCK, path, prepare, rush, serve
from benchmarks.http_load import send_all
from benchmarks.sampling import Sessions
from tests.support.servers import PostgresServer

# The server is the test's own, whatever database the run is on: one run is enough.
pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]


if (6, 0) <= django.VERSION < (6, 1):
    pytest.skip("runs on both ends of the supported range", allow_module_level=True)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(max_connections=MAX_CONNECTIONS) as server:
        prepare(server)
        yield server


def test_the_bookshop_answers_every_request_on_a_handful_of_connections(server: PostgresServer) -> None:
    with Sessions(server.url) as sessions:
        result = rush(DAF, server, sessions)

    assert result.load.outcomes == {"200": REQUESTS}
    assert result.peak_sessions <= POOL_SIZE
    assert result.sessions_after <= POOL_SIZE


def test_stock_django_fails_beside_it(server: PostgresServer) -> None:
    """Those that got a connection keep it until the others have failed, so the machine's speed makes no difference."""
    paths = [path(index) for index in range(REQUESTS // 4)]
    outcomes: Counter[str] = Counter()

    with serve(STOCK, server) as port, psycopg.connect(server.url) as holder:
        holder.execute("LOCK TABLE shop_book, shop_stock, shop_orderline, shop_tag")

        def answered(outcome: str) -> None:
            outcomes[outcome] += 1
            if outcomes.total() == len(paths) - MAX_CONNECTIONS:
                holder.rollback()

        asyncio.run(send_all(port, paths, answered))

    assert outcomes["500"] >= len(paths) - MAX_CONNECTIONS, outcomes
