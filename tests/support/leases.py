"""Fixtures of the tests under ``tests/orm`` and ``tests/scenarios/orm``: no lease is lost, no connection left open."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from daf_orm import get_pool
from daf_orm._pool.pool import ConnectionPool
from daf_orm._pool.process_pool import reset_pool

__all__ = ["many_connections", "no_connection_outlives_the_run", "no_lease_is_lost", "pool_with"]

PATIENCE = 20.0  # seconds


@pytest.fixture(scope="session", autouse=True)
def no_connection_outlives_the_run(django_db_setup: None) -> Iterator[None]:
    yield
    reset_pool()


@pytest.fixture(autouse=True)
def no_lease_is_lost() -> Iterator[None]:
    """Every test gives back its leases; a worker thread soon gives back a dropped one."""
    yield
    pool, deadline = get_pool(), time.monotonic() + PATIENCE
    while (stats := pool.get_stats())["pool_available"] != stats["pool_size"] and time.monotonic() < deadline:
        time.sleep(0.01)
    reset_pool()
    assert stats["pool_available"] == stats["pool_size"], stats
    assert stats["requests_waiting"] == 0
    assert stats["connections_open"] <= 2 * stats["pool_max"]


@pytest.fixture
def pool_with(settings: Any) -> Callable[..., ConnectionPool]:
    """Give the process a pool with other settings: ``pool_with(MAX_SIZE=2)``."""

    def make(**changes: Any) -> ConnectionPool:
        settings.DAF_ORM = changes
        return get_pool()

    return make


@pytest.fixture
def many_connections() -> None:
    """Skip the test where the database has only one connection to lend."""
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("in-memory SQLite has one connection only")
