"""The peers in :mod:`benchmarks.tasks`: each gives a number of tasks and waits until the last begins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.background import BackgroundTasks
from taskiq import InMemoryBroker

from daf_views.tasks import async_task, run_in_background

Give = Callable[[int], Awaitable[None]]
_begun = 0
_all_begun = asyncio.Event()
_wanted = 0


async def nothing() -> None:
    """Do nothing, but be counted."""
    global _begun  # noqa: PLW0603 - a task has no other way to tell
    _begun += 1
    if _begun == _wanted:
        _all_begun.set()


ours = async_task(nothing)


def _expect(number: int) -> None:
    global _begun, _wanted
    _begun, _wanted = 0, number
    _all_begun.clear()


def _each(give: Callable[[], Awaitable[Any]]) -> Give:
    async def give_all(number: int) -> None:
        _expect(number)
        for _ in range(number):
            await give()
        await _all_begun.wait()

    return give_all


async def contestants() -> dict[str, Give]:
    """Return them all, ready to be given tasks."""
    broker = InMemoryBroker(max_async_tasks=100)
    task = broker.task(nothing)
    await broker.startup()
    immediate = ours.using(backend="immediate")
    return {
        "DAF, InProcessBackend": _each(ours.aenqueue),
        "DAF, run_in_background": _each(_background),
        "Starlette BackgroundTasks": _starlette,
        "taskiq InMemoryBroker": _each(task.kiq),
        "Django ImmediateBackend": _each(immediate.aenqueue),
    }


async def _background() -> None:
    run_in_background(nothing)


async def _starlette(number: int) -> None:
    _expect(number)
    tasks = BackgroundTasks()
    for _ in range(number):
        tasks.add_task(nothing)
    await tasks()
    await _all_begun.wait()
