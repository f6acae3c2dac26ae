"""Give tasks to each peer in turn: the child's side of ``tasks``.

``python -m benchmarks.tasks_worker ROUNDS TASKS`` prints the samples as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import django
from django.conf import settings

Give = Callable[[int], Awaitable[None]]
"""Gives so many tasks, and returns when the last has begun."""


async def measure(rounds: int, tasks: int) -> dict[str, dict[str, list[float]]]:
    """Let all take turns; return seconds for each task."""
    from benchmarks.tasks_peers import contestants  # noqa: PLC0415 - settings first

    everyone = await contestants()
    measured: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": [], "start": []} for name in everyone}
    for number in range(-1, rounds):
        for name in random.sample(list(everyone), len(everyone)):
            seconds = await _turn(everyone[name], tasks)
            for figure, value in seconds.items() if number >= 0 else ():
                measured[name][figure].append(value)
    return measured


async def _turn(give: Give, tasks: int) -> dict[str, float]:
    gc.collect()
    start = time.perf_counter()
    await give(1)
    start = time.perf_counter() - start
    wall, cpu = time.perf_counter(), time.process_time()
    await give(tasks)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await asyncio.sleep(0.01)  # leftovers must not count for the next one
    return {"wall": wall / tasks, "cpu": cpu / tasks, "start": start}


def main(rounds: int, tasks: int) -> None:
    """Measure, and print the samples."""
    options: dict[str, Any] = {"QUEUES": []}
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["daf_orm", "daf_views"],
        SECRET_KEY="not a secret",
        TASKS={
            "default": {"BACKEND": "daf_views.tasks.InProcessBackend", **options},
            "immediate": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend", **options},
        },
    )
    django.setup()
    print(json.dumps(asyncio.run(measure(rounds, tasks))))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
