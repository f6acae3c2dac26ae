"""The process of one contestant of ``native``: ``python -m benchmarks.native_worker NAME DATABASE``.

It reads one JSON object per line and answers with one: ``{"work", "callers", "requests"}`` → ``{"cpu", "p50", "p99"}``,
seconds per request; with ``"count": true``, ``{"count"}``, the bytecode instructions of all of them by package.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import nullcontext
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import django
from django.conf import settings

from benchmarks.asgi_client import get
from benchmarks.native import SETUPS, Setup, settings_of
from benchmarks.opcodes import counted


def main() -> None:
    """Set the contestant up and obey until standard input ends."""
    setup, database = SETUPS[sys.argv[1]], json.loads(sys.argv[2])
    work, application = _django(setup, database) if setup.is_django else (None, _handler(setup)(setup.engine, database))
    loops = {"loop_factory": import_module("uvloop").new_event_loop} if find_spec("uvloop") else {}
    with asyncio.Runner(**loops) as runner:
        for line in sys.stdin:
            order = json.loads(line)
            if "seed" in order:
                _seed(work)
                answer = {}
            else:
                with counted() if order.pop("count", False) else nullcontext() as count:
                    if setup.is_floor:
                        answer = _floor(getattr(work.Sync, order["work"]), order["requests"])
                    else:
                        answer = runner.run(_requests(application, **order))
                answer = answer if count is None else {"count": count}
            print(json.dumps(answer), flush=True)


def _django(setup: Setup, database: dict[str, str]) -> tuple[Any, Any]:
    settings.configure(**settings_of(setup, database))
    django.setup()
    return import_module("benchmarks.catalog.work"), _handler(setup)()


def _handler(setup: Setup) -> Any:
    module, _, name = setup.handler.partition(":")
    return getattr(import_module(module), name)


def _seed(work: Any) -> None:
    models = import_module("benchmarks.catalog.models")
    with django.db.connection.schema_editor() as editor:
        editor.create_model(models.Author)
        editor.create_model(models.Book)
    work.seed()


def _floor(work: Any, requests: int) -> dict[str, float]:
    times = []
    cpu = time.process_time()
    for _ in range(requests):
        started = time.perf_counter()
        json.dumps(work())
        times.append(time.perf_counter() - started)
    return _summed_up(time.process_time() - cpu, times)


async def _requests(application: Any, work: str, callers: int, requests: int) -> dict[str, float]:
    times: list[float] = []

    async def send(number: int) -> None:
        for _ in range(number):
            started = time.perf_counter()
            if (status := await get(application, f"/{work}/")) != 200:
                raise RuntimeError(f"/{work}/ answered {status}")
            times.append(time.perf_counter() - started)

    shares = [requests // callers + (number < requests % callers) for number in range(callers)]
    cpu = time.process_time()
    await asyncio.gather(*[send(share) for share in shares])
    return _summed_up(time.process_time() - cpu, times)


def _summed_up(cpu: float, times: list[float]) -> dict[str, float]:
    times.sort()
    return {"cpu": cpu / len(times), "p50": times[len(times) // 2], "p99": times[int(len(times) * 0.99)]}


if __name__ == "__main__":
    main()
