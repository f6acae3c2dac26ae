"""Count requests by every throttle, in turns: the child's side of ``throttling``.

``python -m benchmarks.throttling_worker URL ROUNDS HITS`` prints the samples as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import selectors
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import django
from django.conf import settings

URL, ROUNDS, HITS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
CLIENTS, AT_ONCE = 1000, 50

settings.configure(
    CACHES={
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 10_000}},
        "redis": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": URL},
    },
    INSTALLED_APPS=["daf_orm", "daf_views"],
    SECRET_KEY="not a secret",
)
django.setup()

from asgiref.sync import sync_to_async
from django.core.cache import caches
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from ninja.throttling import SimpleRateThrottle as NinjaThrottle
from rest_framework.throttling import SimpleRateThrottle as DRFThrottle
from throttled.asyncio import MemoryStore, RedisStore, Throttled, rate_limiter

from daf_views.throttling import Rate
from daf_views.throttling.backends.cache import CacheBackend
from daf_views.throttling.backends.memory import MemoryBackend
from daf_views.throttling.backends.redis import RedisBackend
from daf_views.throttling.gcra import GCRA
from daf_views.throttling.operations import Take

Hit = Callable[[str], Awaitable[Any]]


class TimedSelector(selectors.DefaultSelector):
    """Knows for how long the event loop did not wait, in all and at a stretch."""

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self.busy = self.longest = 0.0
        self._since = time.perf_counter()

    def select(self, timeout: float | None = None) -> Any:
        stretch = time.perf_counter() - self._since
        self.busy, self.longest = self.busy + stretch, max(self.longest, stretch)
        try:
            return super().select(timeout)
        finally:
            self._since = time.perf_counter()


def daf(backend: Any) -> Hit:
    take = Take([GCRA(Rate.parse("100/minute"))])
    return lambda client: backend.run(client, take, timeout=10)


def limits(storage: Any) -> Hit:
    limiter, item = MovingWindowRateLimiter(storage), RateLimitItemPerMinute(100)

    async def hit(client: str) -> Any:
        return await limiter.hit(item, client), await limiter.get_window_stats(item, client)

    return hit


def throttled(store: Any) -> Hit:
    return Throttled(using="gcra", quota=rate_limiter.per_min(100), store=store).limit


def drf(alias: str) -> Hit:
    def allow(client: str) -> bool:
        throttle = _throttle(DRFThrottle, alias, client)
        return throttle.allow_request(None, None) or throttle.wait()

    return sync_to_async(allow, thread_sensitive=False)


def ninja(alias: str) -> Hit:
    async def hit(client: str) -> bool:
        throttle = _throttle(NinjaThrottle, alias, client)
        return throttle.allow_request(None) or throttle.wait()

    return hit


def _throttle(kind: Any, alias: str, client: str) -> Any:
    class PerClient(kind):  # type: ignore[misc] # a class that is given
        rate = "100/min"
        cache = caches[alias]

        def get_cache_key(self, *_: Any) -> str:
            return f"{kind.__module__}-{client}"

    throttle = PerClient.__new__(PerClient)
    throttle.num_requests, throttle.duration = 100, 60
    throttle.rate = "100/min"
    return throttle


def contestants() -> dict[str, dict[str, Hit]]:
    return {
        "In memory": {
            "DAF, memory": daf(MemoryBackend()),
            "limits": limits(MemoryStorage()),
            "throttled-py": throttled(MemoryStore(options={"MAX_SIZE": 10_000})),
            "DRF, LocMemCache": drf("default"),
            "django-ninja, LocMemCache": ninja("default"),
        },
        "On Valkey": {
            "DAF, redis": daf(RedisBackend(URL)),
            "DAF, cache (RedisCache)": daf(CacheBackend("redis")),
            "limits": limits(RedisStorage(f"async+{URL}", implementation="redispy")),
            "throttled-py": throttled(RedisStore(server=URL)),
            "DRF, RedisCache": drf("redis"),
            "django-ninja, RedisCache": ninja("redis"),
        },
    }


async def turn(hit: Hit, selector: TimedSelector) -> dict[str, float]:
    """Count ``HITS`` requests; return seconds per hit."""
    clients = iter([f"client-{random.randrange(CLIENTS)}" for _ in range(HITS)])

    async def ask() -> None:
        for client in clients:
            await hit(client)

    gc.collect()
    await asyncio.sleep(0)
    selector.reset()
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall / HITS, "cpu": cpu / HITS, "loop": selector.busy / HITS, "hold": selector.longest}


async def main(selector: TimedSelector) -> None:
    measured: dict[str, dict[str, dict[str, list[float]]]] = {}
    for title, hits in contestants().items():
        samples = measured[title] = {name: {"wall": [], "cpu": [], "loop": [], "hold": []} for name in hits}
        for number in range(ROUNDS + 1):
            for name in random.sample(list(hits), len(hits)):
                seconds = await turn(hits[name], selector)
                for figure, value in seconds.items() if number else ():  # the first is for connecting
                    samples[name][figure].append(value)
    print(json.dumps(measured))


if __name__ == "__main__":
    timed = TimedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(timed)) as runner:
        runner.run(main(timed))
