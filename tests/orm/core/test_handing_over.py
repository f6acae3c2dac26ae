"""Queues whose waiters are coroutines of any event loop, or threads."""

import asyncio
from typing import Any

import pytest

from daf_orm._core.locks import FifoLock


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
