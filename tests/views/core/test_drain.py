import asyncio

from daf_views._core.drain import _drains, current_drain


def test_the_drains_of_closed_loops_are_forgotten():
    async def wait_a_little():
        waiter = asyncio.create_task(current_drain().wait())
        await asyncio.sleep(0)
        current_drain().request()
        await waiter

    for _ in range(5):
        asyncio.run(wait_a_little())
    assert sum(loop.is_closed() for loop in _drains) <= 1


async def test_kept_tasks_are_waited_for_and_then_cancelled():
    go_on, ended = asyncio.Event(), []

    async def work(name, event):
        try:
            await event.wait()
        finally:
            ended.append(name)

    drain = current_drain()
    drain.keep(asyncio.create_task(work("quick", go_on)))
    late = asyncio.create_task(work("late", asyncio.Event()))
    drain.keep(late)
    go_on.set()
    await drain.settle(0.01)
    assert sorted(ended) == ["late", "quick"]
    assert late.cancelled()
