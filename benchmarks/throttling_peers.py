"""The peers in :mod:`benchmarks.throttling`: each is a coroutine function of a client's name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache import caches
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from ninja.throttling import SimpleRateThrottle as NinjaThrottle
from rest_framework.throttling import SimpleRateThrottle as DRFThrottle
from throttled.asyncio import MemoryStore, RedisStore, Throttled, rate_limiter

from daf_views.throttling import Rate
from daf_views.throttling.algorithms.gcra import GCRA
from daf_views.throttling.backends.cache import CacheBackend
from daf_views.throttling.backends.memory import MemoryBackend
from daf_views.throttling.backends.redis import RedisBackend
from daf_views.throttling.operations import Take

Hit = Callable[[str], Awaitable[Any]]
CLIENTS = 1000


def contestants(url: str) -> dict[str, dict[str, Hit]]:
    """Return them by where they count. Ours comes first: the others are measured by it."""
    return {
        "In memory": {
            "DAF, memory": _daf(MemoryBackend()),
            "limits": _limits(MemoryStorage()),
            "throttled-py": _throttled(MemoryStore(options={"MAX_SIZE": 10 * CLIENTS})),
            "DRF, LocMemCache": _drf("default"),
            "django-ninja, LocMemCache": _ninja("default"),
        },
        "On Valkey": {
            "DAF, redis": _daf(RedisBackend(url)),
            "DAF, cache (RedisCache)": _daf(CacheBackend("redis")),
            "limits": _limits(RedisStorage(f"async+{url}", implementation="redispy")),
            "throttled-py": _throttled(RedisStore(server=url)),
            "DRF, RedisCache": _drf("redis"),
            "django-ninja, RedisCache": _ninja("redis"),
        },
    }


def _daf(backend: Any) -> Hit:
    take = Take([GCRA(Rate.parse("100/minute"))])
    return lambda client: backend.run(client, take, timeout=10)


def _limits(storage: Any) -> Hit:
    limiter, item = MovingWindowRateLimiter(storage), RateLimitItemPerMinute(100)

    async def hit(client: str) -> Any:
        return await limiter.hit(item, client), await limiter.get_window_stats(item, client)

    return hit


def _throttled(store: Any) -> Hit:
    hit: Hit = Throttled(using="gcra", quota=rate_limiter.per_min(100), store=store).limit
    return hit


def _drf(alias: str) -> Hit:
    class ByClient(DRFThrottle):  # type: ignore[misc] # it has no types
        rate = "100/min"
        cache = caches[alias]

        def get_cache_key(self, request: str, view: None) -> str:  # noqa: ARG002 - DRF's signature
            return f"drf-{request}"

    def allow(client: str) -> Any:
        throttle = ByClient()  # one for each request, as DRF makes them
        return throttle.allow_request(client, None) or throttle.wait()

    return sync_to_async(allow, thread_sensitive=False)


def _ninja(alias: str) -> Hit:
    class ByClient(NinjaThrottle):
        cache = caches[alias]

        def get_cache_key(self, request: Any) -> str:
            return f"ninja-{request}"

    throttle: Any = ByClient("100/min")

    async def hit(client: str) -> Any:
        return throttle.allow_request(client) or throttle.wait()

    return hit
