"""The process of one contestant: ``python -m benchmarks.worker NAME DATABASE``, driven over its pipes.

Contestants patch Django globally, so each has a separate process. It reads one JSON object per line,
``{"do": command, …arguments}``, and answers with one line: the return value of the command, or ``{"error": …}``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import django
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings

from benchmarks.contestants import CONTESTANTS


def main() -> None:
    """Set Django up for the contestant and obey until standard input ends."""
    contestant = CONTESTANTS[sys.argv[1]]
    database = json.loads(sys.argv[2])
    daf_orm = database.pop("DAF_ORM", {})
    settings.configure(**contestant.settings(database), DAF_ORM=daf_orm, BENCHMARK_QUERIES=contestant.queries)
    django.setup()
    from benchmarks.queries import get_queries  # noqa: PLC0415 - models need the settings

    with asyncio.Runner() as runner:
        for line in sys.stdin:
            print(json.dumps(_obey(runner, json.loads(line))), flush=True)
        runner.run(get_queries().shut_down())


def _obey(runner: asyncio.Runner, order: dict[str, Any]) -> Any:
    command = COMMANDS[order.pop("do")]
    try:
        return runner.run(command(**order))
    except Exception as error:  # noqa: BLE001 - the parent prints it in the contestant's place
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


async def seed() -> bool:
    """Create the table and its rows."""
    from benchmarks.library.seeding import seed  # noqa: PLC0415

    await sync_to_async(seed)()
    return True


async def time_queries(query: str, where: str, repeat: int) -> dict[str, float]:
    """Run a query ``repeat`` times, one after the other.

    Return seconds per run, by the clock on the wall and of this process's CPU.
    """
    measured = _inside_a_request if where == "warm" else _as_requests
    wall, cpu = await measured(query, repeat)
    return {"wall": wall / repeat, "cpu": cpu / repeat}


async def _inside_a_request(query: str, repeat: int) -> tuple[float, float]:
    from benchmarks.queries import get_queries  # noqa: PLC0415

    queries = get_queries()

    async def request() -> tuple[float, float]:
        async with ThreadSensitiveContext():  # Django's handler opens one per request
            await queries.run(query)  # the connection is open from here on
            elapsed = await _timed(lambda: queries.run(query), repeat)
            await queries.close()
            return elapsed

    return await asyncio.create_task(request())


async def _as_requests(query: str, repeat: int) -> tuple[float, float]:
    send = _request_sender(f"/{query}/1/")
    return await _timed(send, repeat)


async def _timed(run: Callable[[], Awaitable[object]], repeat: int) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeat):
        await run()
    return time.perf_counter() - wall, time.process_time() - cpu


async def crowd(callers: int, where: str, times: int, pause: float = 0.0) -> dict[str, Any]:
    """Let so many callers run ``aget`` at the same time, ``times`` times each with a pause in between.

    Return the seconds that it took, and the errors by name.
    """
    call = _request_sender(f"/aget/{times}/") if where == "requests" else _caller(times, pause)
    started = time.perf_counter()
    outcomes = await asyncio.gather(*(call() for _ in range(callers)), return_exceptions=True)
    errors = Counter(type(outcome).__name__ for outcome in outcomes if isinstance(outcome, BaseException))
    return {"wall": time.perf_counter() - started, "errors": errors}


def _caller(times: int, pause: float) -> Callable[[], Awaitable[None]]:
    from benchmarks.queries import get_queries  # noqa: PLC0415

    async def call() -> None:
        async with ThreadSensitiveContext():
            try:
                for number in range(times):
                    if number and pause:
                        await asyncio.sleep(pause)
                    await get_queries().run("aget")
            finally:
                await get_queries().close()

    return call


def _request_sender(path: str) -> Callable[[], Awaitable[None]]:
    from django.core.asgi import get_asgi_application  # noqa: PLC0415

    from benchmarks.asgi_client import get  # noqa: PLC0415

    application = get_asgi_application()

    async def send() -> None:
        status = await get(application, path)
        if status != 200:
            raise RuntimeError(f"{path} answered {status}")

    return send


async def write(**workload: Any) -> dict[str, Any]:
    """Run the workload of :mod:`benchmarks.sqlite_workload`."""
    from benchmarks import sqlite_workload  # noqa: PLC0415

    return await sqlite_workload.run(**workload)


COMMANDS: dict[str, Callable[..., Any]] = {
    "seed": seed,
    "time": time_queries,
    "crowd": crowd,
    "write": write,
}

if __name__ == "__main__":
    main()
