import asyncio
from contextvars import ContextVar

import pytest

from daf_views._core.own_context import InOwnContext

mark = ContextVar("mark", default="outer")


async def set_and_return():
    mark.set("inner")
    await asyncio.sleep(0)
    assert mark.get() == "inner"
    return "done"


async def test_a_variable_set_inside_stays_inside():
    assert await InOwnContext(set_and_return()) == "done"
    assert mark.get() == "outer"


async def test_a_variable_set_outside_is_seen_inside():
    token = mark.set("caller's")

    async def look():
        await asyncio.sleep(0)
        return mark.get()

    assert await InOwnContext(look()) == "caller's"
    mark.reset(token)


async def test_a_task_started_inside_has_the_context():
    async def start():
        mark.set("inner")
        return await asyncio.create_task(look())

    async def look():
        return mark.get()

    assert await InOwnContext(start()) == "inner"


async def test_it_is_the_callers_task():
    async def current():
        await asyncio.sleep(0)
        return asyncio.current_task()

    assert await InOwnContext(current()) is asyncio.current_task()


async def test_an_exception_leaves_it():
    async def fail():
        mark.set("inner")
        await asyncio.sleep(0)
        raise ValueError("from inside")

    with pytest.raises(ValueError, match="from inside"):
        await InOwnContext(fail())
    assert mark.get() == "outer"


async def test_the_result_of_a_future_and_its_exception_come_in():
    future, failed = asyncio.get_running_loop().create_future(), asyncio.get_running_loop().create_future()

    async def wait():
        try:
            await failed
        except KeyError as error:
            return await future, error.args

    asyncio.get_running_loop().call_soon(failed.set_exception, KeyError("a"))
    asyncio.get_running_loop().call_soon(future.set_result, 7)
    assert await InOwnContext(wait()) == (7, ("a",))


async def test_a_cancellation_is_raised_inside_and_may_be_answered():
    entered = asyncio.Event()
    seen = []

    async def wait():
        mark.set("inner")
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(mark.get())
            await asyncio.sleep(0)
            seen.append("cleaned")
            raise

    task = asyncio.create_task(outer(wait))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["inner", "cleaned"]


async def outer(wait):
    await InOwnContext(wait())


def test_a_dropped_coroutine_is_closed_in_its_context():
    seen = []

    class Never:
        def __await__(self):
            yield

    async def wait():
        mark.set("inner")
        try:
            await Never()
        finally:
            seen.append(mark.get())

    dropped = outer(wait)
    dropped.send(None)
    dropped.close()
    assert seen == ["inner"]
