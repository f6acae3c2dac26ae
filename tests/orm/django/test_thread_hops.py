"""DAF's hops keep the promises of asgiref hops."""

import asyncio
import contextvars
import gc
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.local import Local
from asgiref.sync import SyncToAsync, async_to_sync

from daf_orm._core.call_thread import CallThread
from daf_orm._core.places import Places
from daf_orm._django import connections as leased_connections
from daf_orm._django import hops, thread_hops
from daf_orm._django.thread_hops import hop

pytestmark = pytest.mark.no_database
PATIENCE = 30
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@pytest.fixture(params=[lambda: CallThread(Places()), lambda: ThreadPoolExecutor(4)])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    leased_connections.activate()
    with request.param() as executor:
        yield executor


async def test_context_variables_cross_both_ways(executor: Executor) -> None:
    def look() -> str:
        seen = variable.get()
        variable.set("below")
        return seen

    variable.set("above")

    assert await hop(executor, look) == "above"
    assert variable.get() == "below"


async def test_a_value_set_before_an_error_crosses_too(executor: Executor) -> None:
    def fail() -> None:
        variable.set("below")
        raise KeyError("a")

    with pytest.raises(KeyError):
        await hop(executor, fail)
    assert variable.get() == "below"


async def test_asgirefs_local_crosses_both_ways(executor: Executor) -> None:
    local = Local()
    local.name = "above"

    def look() -> Any:
        seen, local.name = local.name, "below"
        return seen

    assert await hop(executor, look) == "above"
    assert local.name == "below"


async def test_an_exception_that_is_handled_is_handled_in_the_thread(executor: Executor) -> None:
    handled = KeyError("a")
    try:
        raise handled
    except KeyError:
        seen = await hop(executor, sys.exception)

    assert seen is handled
    assert await hop(executor, sys.exception) is None


async def test_a_traceback_leads_from_the_task_to_the_line(executor: Executor) -> None:
    def fail() -> None:
        raise KeyError("a")

    with pytest.raises(KeyError) as caught:
        await hop(executor, fail)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[0] == "test_a_traceback_leads_from_the_task_to_the_line"
    assert names[-1] == "fail"


async def test_an_error_goes_without_the_garbage_collector(executor: Executor) -> None:
    class Failure(Exception): ...

    def fail() -> None:
        raise Failure

    gc.disable()
    try:
        try:
            await hop(executor, fail)
        except Failure as error:
            reference = weakref.ref(error)
        await hop(executor, list)  # the thread has let go of the first call
        assert reference() is None
    finally:
        gc.enable()


async def test_async_to_sync_runs_on_the_loop_that_waits(executor: Executor) -> None:
    async def look() -> tuple[object, int]:
        variable.set("async")
        return asyncio.get_running_loop(), threading.get_ident()

    assert await hop(executor, async_to_sync(look)) == (asyncio.get_running_loop(), threading.get_ident())
    assert variable.get() == "async"


async def cancelled_below(executor: Executor, work: Callable[[asyncio.Event], Any]) -> Any:
    """Cancel a task once async code waits below its hop; return its outcome."""
    waiting = asyncio.Event()
    task = asyncio.create_task(hop(executor, lambda: async_to_sync(work)(waiting)))
    await waiting.wait()
    task.cancel()
    return await task


async def test_a_cancellation_reaches_the_task_that_the_thread_waits_for(executor: Executor) -> None:
    async def sleep(waiting: asyncio.Event) -> None:
        waiting.set()
        await asyncio.sleep(PATIENCE)

    with pytest.raises(asyncio.CancelledError):
        await cancelled_below(executor, sleep)


async def test_code_below_may_handle_it(executor: Executor) -> None:
    async def deal(waiting: asyncio.Event) -> str:
        waiting.set()
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            return "dealt with"
        return "not cancelled"

    assert await cancelled_below(executor, deal) == "dealt with"


async def test_a_cancelled_task_does_not_wait_for_a_function(executor: Executor) -> None:
    began, go_on, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(began.set)
        assert go_on.wait(PATIENCE)
        ended.set()

    task = asyncio.create_task(hop(executor, work))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await asyncio.to_thread(ended.wait, PATIENCE)


def test_a_function_may_end_after_its_loop(executor: Executor) -> None:
    began, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        assert go_on.wait(PATIENCE)

    async def start() -> None:
        task = asyncio.create_task(hop(executor, work))
        await asyncio.to_thread(began.wait, PATIENCE)
        task.cancel()

    asyncio.run(start())
    go_on.set()
    assert executor.submit(ended.set).result(PATIENCE) is None


async def test_a_pool_that_is_closed_refuses(executor: Executor) -> None:
    executor.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        await hop(executor, list)


async def test_the_function_is_in_a_hop(executor: Executor) -> None:
    inside = await hop(executor, hops.current_hop)

    assert isinstance(inside, hops.Hop)
    assert inside.task is asyncio.current_task()
    assert inside.loop is asyncio.get_running_loop()


@pytest.mark.parametrize("name", ["__call__", "thread_handler"])
def test_a_tool_that_looks_at_asgirefs_hops_sees_all(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leased_connections.activate()
    assert thread_hops.are_ours()
    with monkeypatch.context() as patched:
        patched.setattr(SyncToAsync, name, list)
        assert not thread_hops.are_ours()
    assert thread_hops.are_ours()
