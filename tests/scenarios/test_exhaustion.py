"""A rush on a server that takes 60 connections: the bookshop answers 1,000 requests, stock Django not even 250."""

from collections.abc import Iterator

import django
import pytest

from benchmarks.contestants import POOL_SIZE
from benchmarks.exhaustion import DAF, MAX_CONNECTIONS, REQUESTS, STOCK, Rush, Shop, prepare, rush
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


def rushed(shop: Shop, server: PostgresServer, requests: int) -> Rush:
    with Sessions(server.url) as sessions:
        return rush(shop, server, sessions, requests=requests)


def test_the_bookshop_answers_every_request_on_a_handful_of_connections(server: PostgresServer) -> None:
    result = rushed(DAF, server, REQUESTS)

    assert result.load.outcomes == {"200": REQUESTS}
    assert result.peak_sessions <= POOL_SIZE
    assert result.sessions_after <= POOL_SIZE


def test_stock_django_fails_beside_it(server: PostgresServer) -> None:
    fewer = REQUESTS // 4  # as many threads, with as many connections

    result = rushed(STOCK, server, fewer)

    assert result.load.errors.get("500", 0) > fewer // 2, result.load.outcomes
