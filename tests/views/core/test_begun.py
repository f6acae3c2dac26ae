"""A coroutine that has begun ends as it would have if it had been awaited."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from daf_views._core.begun import Begun

pytestmark = pytest.mark.no_database


async def returned(value: str) -> str:
    return value


async def after(event: Awaitable[Any], seen: list[str]) -> str:
    try:
        await event
    except BaseException as error:
        seen.append(type(error).__name__)
        raise
    return "the end"


async def test_work_that_waits_for_nothing_is_done_at_once() -> None:
    begun = Begun(returned("a value"))

    assert begun.is_done
    assert await begun == "a value"


async def test_an_error_of_the_first_step_is_raised_where_it_begins() -> None:
    async def fail() -> None:
        raise KeyError("a")

    with pytest.raises(KeyError):
        Begun(fail())


async def test_the_rest_runs_in_the_task_that_began_it() -> None:
    async def find_tasks() -> tuple[Any, Any]:
        first = asyncio.current_task()
        await asyncio.sleep(0)
        return first, asyncio.current_task()

    begun = Begun(find_tasks())

    assert not begun.is_done
    assert await begun == (asyncio.current_task(), asyncio.current_task())


async def test_a_cancellation_reaches_the_work() -> None:
    waiting, seen = asyncio.Event(), list[str]()

    async def work() -> None:
        begun = Begun(after(asyncio.Event().wait(), seen))
        waiting.set()
        await begun

    task = asyncio.create_task(work())
    await waiting.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["CancelledError"]


async def test_work_that_goes_on_after_a_cancellation_returns_its_result() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "finished"

    waiting = asyncio.Event()

    async def work() -> str:
        begun = Begun(stubborn())
        waiting.set()
        return await begun

    task = asyncio.create_task(work())
    await waiting.wait()
    task.cancel()

    assert await task == "finished"


async def test_a_time_limit_that_begins_after_the_work_ends_it() -> None:
    seen = list[str]()
    begun = Begun(after(asyncio.Event().wait(), seen))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await begun
    assert seen == ["CancelledError"]


def test_work_whose_loop_is_closed_is_closed_with_it() -> None:
    seen = list[str]()

    async def work() -> None:
        await Begun(after(asyncio.Event().wait(), seen))

    coroutine = work()
    loop = asyncio.new_event_loop()
    try:
        loop.call_soon(coroutine.send, None)
        loop.call_soon(loop.stop)
        loop.run_forever()
    finally:
        loop.close()
    coroutine.close()

    assert seen == ["GeneratorExit"]
