"""Many callers wait for few connections: first come, first served, without a thread for any of them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from daf_orm import get_pool, transaction
from daf_orm._pool.starvation import StarvationWatch
from tests.project.library.models import Author

if TYPE_CHECKING:
    from collections.abc import Callable

CALLERS = 500


async def all_waiting() -> None:
    async with asyncio.timeout(10):
        while get_pool().get_stats()["requests_waiting"] < CALLERS:
            await asyncio.sleep(0)


@pytest.mark.usefixtures("many_connections")
async def test_callers_are_served_in_the_order_they_came_and_take_no_thread(pool_with: Callable[..., Any]) -> None:
    pool_with(MAX_SIZE=1)
    held, go, served = asyncio.Event(), asyncio.Event(), []

    async def hold() -> None:
        async with transaction.atomic():
            await Author.objects.acount()
            held.set()
            await go.wait()

    async def call(number: int) -> None:
        async with transaction.atomic():
            served.append(number)

    holding = asyncio.create_task(hold())
    await held.wait()
    threads = set(threading.enumerate())
    calling = [asyncio.create_task(call(number)) for number in range(CALLERS)]
    await all_waiting()

    assert set(threading.enumerate()) <= threads  # one of an earlier test's may end meanwhile
    go.set()
    await asyncio.gather(holding, *calling)
    assert served == list(range(CALLERS))


@pytest.mark.native
@pytest.mark.usefixtures("many_connections")
async def test_on_the_event_loop_callers_and_connections_have_no_thread_at_all(pool_with: Callable[..., Any]) -> None:
    pool = pool_with(MAX_SIZE=3)
    threads = set(threading.enumerate())

    await asyncio.gather(*(Author.objects.acount() for _ in range(CALLERS)))

    assert pool.get_stats()["pool_size"] == 3
    assert set(threading.enumerate()) <= threads


@pytest.mark.usefixtures("many_connections")
async def test_however_many_event_loops_wait_each_has_one_watch_of_idle_pins(pool_with: Callable[..., Any]) -> None:
    pool = pool_with(MAX_SIZE=1)
    held = await pool.lend()

    async def wait_in_turns(mine: threading.Semaphore, other: threading.Semaphore) -> int:
        waiting = []
        for _ in range(5):
            await asyncio.to_thread(mine.acquire)
            waiting.append(asyncio.create_task(pool.lend()))
            await asyncio.sleep(0)
            other.release()
        scheduled: Any = asyncio.get_running_loop()
        watches = [
            each for each in scheduled._scheduled if getattr(each._callback, "__func__", None) is StarvationWatch.look
        ]
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        return len(watches)

    first, second = threading.Semaphore(1), threading.Semaphore(0)
    elsewhere = asyncio.to_thread(asyncio.run, wait_in_turns(second, first))
    assert await asyncio.gather(wait_in_turns(first, second), elsewhere) == [1, 1]
    pool.put_back(held)
