"""First come, first served: coroutines of any event loop and threads, however the wait ends."""

import asyncio
import threading
from typing import Any

import pytest

from daf_orm._core.locks import FifoLock, FifoSemaphore, Waiter
from daf_orm.exceptions import PoolTimeout

SOON = 0.01


async def until_it_waits(task):
    while not task.done() and task.get_coro().cr_await is None:
        await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_coroutines_and_threads_take_turns_in_order():
    lock, order = FifoLock(), []
    await lock.acquire(None)

    async def wait(name):
        await lock.acquire(None)
        order.append(name)
        lock.release()

    first = asyncio.create_task(wait("task"))
    await until_it_waits(first)
    second = asyncio.create_task(asyncio.to_thread(lock.acquire_blocking, None))
    while len(lock._queue) < 2:
        await asyncio.sleep(0)
    third = asyncio.create_task(wait("last"))
    await until_it_waits(third)
    lock.release()
    await second
    order.append("thread")
    lock.release()
    await asyncio.gather(first, third)
    assert order == ["task", "thread", "last"]
    assert not lock.taken


async def test_a_turn_given_to_a_task_at_its_cancellation_is_passed_on():
    lock = FifoLock()
    await lock.acquire(None)
    cancelled, next_one = (asyncio.create_task(lock.acquire(None)) for _ in range(2))
    await until_it_waits(next_one)
    lock.release()  # the first has it, and has not run yet
    cancelled.cancel()
    await next_one
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    lock.release()
    assert not lock.taken


async def test_a_task_that_was_cancelled_is_passed_over():
    lock = FifoLock()
    await lock.acquire(None)
    cancelled, next_one = (asyncio.create_task(lock.acquire(None)) for _ in range(2))
    await until_it_waits(next_one)
    cancelled.cancel()
    lock.release()
    await next_one
    lock.release()
    assert not lock.taken


async def test_an_item_handed_over_as_the_time_is_up_counts():
    waiter = Waiter(asyncio.get_running_loop())
    wait = asyncio.create_task(waiter.wait(None))
    await until_it_waits(wait)
    waiter.as_future().set_result(None)  # the time is up, and the task has not run yet
    assert waiter.give("item")
    assert await wait == "item"


async def test_an_item_not_handed_over_in_time_is_not_handed_over():
    waiter = Waiter(asyncio.get_running_loop())
    with pytest.raises(TimeoutError):
        await waiter.wait(0)
    assert waiter.withdraw()
    assert not waiter.give("item")


async def test_a_wait_that_times_out_leaves_the_queue():
    lock = FifoLock()
    await lock.acquire(None)
    with pytest.raises(PoolTimeout, match="in use by another call"):
        await lock.acquire(SOON)
    lock.release()
    assert not lock.taken


def test_a_waiter_of_a_closed_loop_is_passed_over():
    loop = asyncio.new_event_loop()
    waiter = Waiter(loop)
    loop.close()
    assert not waiter.give("item")


async def test_a_function_is_called_once_whether_it_comes_before_the_turn_or_after_it():
    lock, called = FifoLock(), []
    for _ in range(200):
        await lock.acquire(None)
        releaser = threading.Thread(target=lock.release)
        releaser.start()
        lock.when_free(lambda: called.append(1))
        await asyncio.to_thread(releaser.join)
        while not called:
            await asyncio.sleep(0)
        assert called.pop() == 1
        assert called == []
        lock.release()


async def test_waiters_that_were_all_refused_release_no_slot():
    places = FifoSemaphore(1)
    await places.acquire(None)
    waiting = [asyncio.create_task(places.acquire(None)) for _ in range(3)]
    await until_it_waits(waiting[-1])
    places.fail_all(ValueError("closed"))
    assert [str(error) for error in await asyncio.gather(*waiting, return_exceptions=True)] == ["closed"] * 3
    places.release()
    await places.acquire(SOON)
    with pytest.raises(TimeoutError):
        await places.acquire(SOON)


@pytest.mark.parametrize("is_refused", [True, False])
def test_a_turn_that_is_handed_over_as_its_event_loop_is_closed_goes_to_the_next(*, is_refused: bool) -> None:
    lock, loop, served = FifoLock(), asyncio.new_event_loop(), []
    assert lock.acquire_at_once()

    async def start_waiting() -> list["asyncio.Task[None]"]:
        tasks = [asyncio.create_task(lock.acquire(None)) for _ in range(2)]
        await asyncio.sleep(0)
        return tasks

    tasks = loop.run_until_complete(start_waiting())
    lock.when_free(lambda: served.append(1))

    def close_at_this_moment(*_: object) -> None:
        loop.close()
        if is_refused:
            raise RuntimeError("Event loop is closed")

    loop.call_soon_threadsafe = close_at_this_moment  # type: ignore[method-assign, assignment]
    lock.release()

    assert served == [1]
    for task in tasks:
        task.get_coro().close()  # type: ignore[union-attr] # as the garbage collector does
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    assert lock.taken
    lock.release()
    assert not lock.taken


def test_a_turn_that_was_taken_before_its_event_loop_is_closed_is_not_given_again() -> None:
    lock, loop, served = FifoLock(), asyncio.new_event_loop(), []
    assert lock.acquire_at_once()

    async def start_waiting() -> "asyncio.Task[None]":
        task = asyncio.create_task(lock.acquire(None))
        await asyncio.sleep(0)
        return task

    task = loop.run_until_complete(start_waiting())
    lock.when_free(lambda: served.append(1))
    schedule = loop.call_soon_threadsafe

    def run_and_close(*call: Any) -> None:
        schedule(*call)
        loop.run_until_complete(task)
        loop.close()

    loop.call_soon_threadsafe = run_and_close  # type: ignore[method-assign, assignment]
    lock.release()

    assert lock.taken
    assert served == []
    lock.release()
    assert served == [1]
