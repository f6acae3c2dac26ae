"""Fixtures of the tests of throttles: a clock that stands still, a real Valkey, and every backend."""

import uuid
from collections.abc import Callable

import pytest
import pytest_asyncio

from daf_views.throttling.backends import Backend
from daf_views.throttling.backends.cache import CacheBackend
from daf_views.throttling.backends.database import DatabaseBackend
from daf_views.throttling.backends.memory import MemoryBackend
from daf_views.throttling.backends.redis import RedisBackend

BACKENDS = ["memory", "database", "cache", "redis"]


class FakeClock:
    """Microseconds, which pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += round(seconds * 1_000_000)


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
def make_backend(redis_url, redis_cache, transactional_db) -> Callable[..., Backend]:
    """Make a backend of any kind, with keys that no other test has."""
    prefix = f"test-{uuid.uuid4().hex}:"
    makers = {
        "memory": MemoryBackend,
        "database": DatabaseBackend,
        "cache": lambda **options: CacheBackend(redis_cache, prefix=f"cache-{prefix}", **options),
        "redis": lambda **options: RedisBackend(redis_url, prefix=prefix, **options),
    }
    return lambda kind, **options: makers[kind](**options)


@pytest_asyncio.fixture(
    params=[kind if kind == "database" else pytest.param(kind, marks=pytest.mark.sqlite_memory) for kind in BACKENDS]
)
async def backend(request, make_backend, clock):
    """Each backend, on the clock that stands still; once, if it is in no database."""
    made = make_backend(request.param, clock=clock)
    yield made
    await made.aclose()
