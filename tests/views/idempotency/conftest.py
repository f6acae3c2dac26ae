"""Fixtures of the tests of idempotency: a clock that stands still, a real Valkey, and both stores."""

import uuid

import pytest
from django.db import connection

from daf_views.idempotency.stores.cache import CacheStore
from daf_views.idempotency.stores.database import DatabaseStore
from tests.views.throttling.conftest import FakeClock

KINDS = ["database", "cache"]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def redis_cache(redis_url, settings) -> str:
    """The alias of a cache on that server."""
    redis = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    settings.CACHES = {**settings.CACHES, "redis": redis}
    return "redis"


@pytest.fixture
def make_store(redis_cache, transactional_db):
    """Make a store of either kind, with keys that no other test has."""

    def make(kind, **options):
        if kind == "cache":
            return CacheStore(redis_cache, prefix=f"test-{uuid.uuid4().hex}:")
        return DatabaseStore(**options)

    return make


@pytest.fixture(params=KINDS)
def store(request, make_store):
    return make_store(request.param)


@pytest.fixture
def several_connections() -> None:
    """Skip a test that needs more than the one connection that a database in memory has."""
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("needs several connections; SQLite in memory has one")
