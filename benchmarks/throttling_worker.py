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

AT_ONCE = 50

Samples = dict[str, list[float]]


class TimedSelector(selectors.DefaultSelector):
    """Knows for how long the event loop did not wait, in all and at a stretch."""

    busy = longest = 0.0

    def reset(self) -> None:
        """Begin to count."""
        self.busy = self.longest = 0.0
        self._since = time.perf_counter()

    def select(self, timeout: float | None = None) -> Any:
        """Wait, as selectors do; the time between two waits is the event loop's."""
        stretch = time.perf_counter() - getattr(self, "_since", time.perf_counter())
        self.busy, self.longest = self.busy + stretch, max(self.longest, stretch)
        try:
            return super().select(timeout)
        finally:
            self._since = time.perf_counter()


async def measure(url: str, rounds: int, hits: int, selector: TimedSelector) -> dict[str, dict[str, Samples]]:
    """Let all take turns; return seconds per hit."""
    from benchmarks.throttling_peers import CLIENTS, contestants  # noqa: PLC0415 - settings first

    measured: dict[str, dict[str, Samples]] = {}
    for title, group in contestants(url).items():
        samples = measured[title] = {name: {"wall": [], "cpu": [], "loop": [], "hold": []} for name in group}
        for number in range(-1, rounds):  # the first is for connecting
            for name in random.sample(list(group), len(group)):
                clients = [f"client-{random.randrange(CLIENTS)}" for _ in range(hits)]
                seconds = await _turn(group[name], clients, selector)
                for figure, value in seconds.items() if number >= 0 else ():
                    samples[name][figure].append(value)
    return measured


async def _turn(hit: Callable[[str], Awaitable[Any]], clients: list[str], selector: TimedSelector) -> dict[str, float]:
    waiting = iter(clients)

    async def ask() -> None:
        for client in waiting:
            await hit(client)

    gc.collect()
    await asyncio.sleep(0)
    selector.reset()
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    number = len(clients)
    return {"wall": wall / number, "cpu": cpu / number, "loop": selector.busy / number, "hold": selector.longest}


def main(url: str, rounds: int, hits: int) -> None:
    """Measure, and print the samples."""
    settings.configure(
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 10_000}},
            "redis": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url},
        },
        INSTALLED_APPS=["daf_orm", "daf_views"],
        SECRET_KEY="not a secret",
    )
    django.setup()
    selector = TimedSelector()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
        print(json.dumps(runner.run(measure(url, rounds, hits, selector))))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
