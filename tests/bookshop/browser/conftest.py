"""The bookshop on PostgreSQL, served by two processes."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.bookshop.running import Shop, running_bookshop
from tests.support.servers import default_postgres


@pytest.fixture(scope="session")
def shop_of_two() -> Iterator[Shop]:
    server, name = default_postgres(), f"bookshop_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}")
    with running_bookshop(processes=2, database_url=server.url.removesuffix(server.database) + name) as shop:
        yield shop
