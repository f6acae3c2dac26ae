"""Many requests at once in the process that answers them: their CPU, times and failures."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.asgi_client import Application, Request, ask

Figures = dict[str, Any]
"""``cpu``, ``p50`` and ``p99``: seconds per request. ``failures``: how many failed, by status or exception."""


async def through_asgi(application: Application, requests: Sequence[Request], callers: int) -> Figures:
    """Send the requests, so many at once."""
    found = _Found()
    waiting = iter(requests)

    async def call() -> None:
        for request in waiting:
            started = time.perf_counter()
            try:
                status, _ = await ask(application, request)
            except Exception as error:  # noqa: BLE001 - servers answer 500; here it is counted
                status = type(error).__name__
            found.add(started, status)

    await asyncio.gather(*[call() for _ in range(callers)])
    return found.sum_up()


def through_threads(
    answer: Callable[[Request], int], requests: Sequence[Request], executor: ThreadPoolExecutor
) -> Figures:
    """Let threads answer the requests."""
    return in_a_loop(answer, requests, executor.map)


def in_a_loop(answer: Callable[[Request], int], requests: Sequence[Request], mapped: Any = map) -> Figures:
    """Answer the requests one after the other."""
    found = _Found()

    def call(request: Request) -> None:
        started = time.perf_counter()
        try:
            status: object = answer(request)
        except Exception as error:  # noqa: BLE001 - as above
            status = type(error).__name__
        found.add(started, status)

    for _ in mapped(call, requests):
        pass
    return found.sum_up()


class _Found:
    def __init__(self) -> None:
        self._times: list[float] = []
        self._statuses: Counter[object] = Counter()
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def add(self, started: float, status: object) -> None:
        self._times.append(time.perf_counter() - started)
        self._statuses[status] += 1

    def sum_up(self) -> Figures:
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        times = sorted(self._times)
        return {
            "cpu": cpu / len(times),
            "rate": len(times) / wall,
            "p50": times[len(times) // 2],
            "p99": times[int(len(times) * 0.99)],
            "failures": {str(status): number for status, number in self._statuses.items() if status not in {200, 201}},
        }
