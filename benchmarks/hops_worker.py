"""The process that :mod:`benchmarks.hops` measures: ``python -m benchmarks.hops_worker DATABASE ROUNDS``.

It prints one JSON object: µs of this process's CPU per call, by what is called and on how many cores, round by round.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import django
from django.conf import settings

from benchmarks.contestants import DAF

CALLS = 20
WARM_UP = 5


def main(database: str, rounds: str) -> None:
    """Measure and print."""
    settings.configure(**DAF.settings(json.loads(database)))
    django.setup()
    print(json.dumps(asyncio.run(_measure(int(rounds)))))


async def _measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    from benchmarks.library.models import Book  # noqa: PLC0415 - models need the settings
    from daf_orm import get_pool  # noqa: PLC0415

    loop, one_thread = asyncio.get_running_loop(), ThreadPoolExecutor(1)
    pk = await loop.run_in_executor(one_thread, lambda: Book.objects.earliest("pk").pk)

    def gathered(number: int) -> Callable[[], Awaitable[object]]:
        return lambda: asyncio.gather(*(Book.objects.aget(pk=pk) for _ in range(number)))

    work: dict[str, tuple[Callable[[], Awaitable[object]], int]] = {
        "bare": (lambda: loop.run_in_executor(one_thread, lambda: Book.objects.get(pk=pk)), 1),
        "aget": (lambda: Book.objects.aget(pk=pk), 1),
        "gathered 5": (gathered(5), 5),
        "gathered 20": (gathered(20), 20),
    }
    found: dict[str, dict[str, list[float]]] = {
        cores: defaultdict(list) for cores in ("all", "one") if cores == "all" or hasattr(os, "sched_setaffinity")
    }
    everywhere = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    for number in range(-WARM_UP, rounds):
        for cores, samples in found.items():
            _bind(everywhere if cores == "all" else {min(everywhere)})
            for name, (call, at_once) in work.items():
                await call()
                before = time.process_time()
                for _ in range(CALLS // at_once):
                    await call()
                if number >= 0:
                    samples[name].append((time.process_time() - before) / CALLS)
    await get_pool().aclose()
    one_thread.shutdown()
    return found


def _bind(cores: set[int]) -> None:
    """Let all threads of this process run on these cores only; new threads inherit that."""
    if cores:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


if __name__ == "__main__":
    main(*sys.argv[1:])
