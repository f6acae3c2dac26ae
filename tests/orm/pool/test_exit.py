"""The end: of an event loop, of the pool, of the interpreter. Nothing hangs, nothing is printed, no session stays."""

import asyncio

import pytest

from daf_orm import PoolClosed, get_pool
from tests.project.library.models import Author
from tests.support.processes import run_program

pytestmark = pytest.mark.timeout(180)  # separate processes, on a machine that may be busy
ENDINGS = {
    "the pool never used": "get_pool()",
    "the pool left open": "asyncio.run(select())",
    "the pool closed": """
        async def main():
            await select()
            await get_pool().aclose()

        asyncio.run(main())
    """,
    "the pool closed from synchronous code": """
        asyncio.run(select())
        get_pool().close()
    """,
    "a task pending": """
        async def block(entered):
            async with transaction.atomic():
                await select()
                entered.set()
                await asyncio.Event().wait()

        async def main():
            entered = asyncio.Event()
            asyncio.create_task(block(entered))
            await entered.wait()

        asyncio.run(main())
    """,
    "a task pending when the pool was closed": """
        import logging
        logging.disable()

        async def block(entered):
            async with transaction.atomic():
                await select()
                entered.set()
                await asyncio.Event().wait()

        async def main():
            entered = asyncio.Event()
            asyncio.create_task(block(entered))
            await entered.wait()
            await get_pool().aclose(timeout=0.01)

        asyncio.run(main())
    """,
    "a task never ended": """
        async def block(entered):
            async with transaction.atomic():
                await select()
                entered.set()
                await asyncio.Event().wait()

        async def start():
            entered = asyncio.Event()
            task = asyncio.create_task(block(entered))
            await entered.wait()
            return task

        loop = asyncio.new_event_loop()
        task = loop.run_until_complete(start())
        task._log_destroy_pending = False
        loop.close()
    """,
    "a call still running": """
        started, go = threading.Event(), threading.Event()

        @database_sync_to_async
        def call():
            started.set()
            go.wait()

        async def start():
            task = asyncio.create_task(call())
            await asyncio.to_thread(started.wait)
            return task

        loop = asyncio.new_event_loop()
        task = loop.run_until_complete(start())
        task._log_destroy_pending = False
        threading.Timer(0.1, go.set).start()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    """,
    "an iteration left in the middle": """
        async def main():
            global rows
            rows = Author.objects.aiterator(chunk_size=1)
            async for _ in rows:
                break

        if not getattr(connection, "is_in_memory_db", bool)():  # that has no tables here
            asyncio.run(main())
    """,
    "an error in the middle of a transaction": """
        async def main():
            async with transaction.atomic():
                await select()
                sys.exit(0)

        asyncio.run(main())
    """,
    "one event loop after another": """
        assert asyncio.run(select()) == asyncio.run(select()) == 1
        assert get_pool().get_stats()["pool_size"] == 1
    """,
    "several event loops at once": """
        together = threading.Barrier(4)

        async def main():
            together.wait(20)
            await asyncio.gather(*(select() for _ in range(10)))

        threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = get_pool().get_stats()
        assert stats["pool_available"] == stats["pool_size"]
    """,
    "an event loop in a daemon thread": """
        entered = threading.Event()

        async def main():
            async with transaction.atomic():
                await select()
                entered.set()
                await asyncio.Event().wait()

        threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start()
        assert entered.wait(20)
    """,
}


@pytest.mark.parametrize("program", ENDINGS.values(), ids=ENDINGS.keys())
def test_the_interpreter_exits_cleanly_with(program: str, no_session_left: None) -> None:
    assert run_program(program) == ""


async def test_after_aclose_calls_raise_and_open_reopens(no_session_left: None) -> None:
    assert await Author.objects.acount() == 0
    await get_pool().aclose()
    for _ in range(2):
        with pytest.raises(PoolClosed, match=r"get_pool\(\)\.open\(\)"):
            await Author.objects.acount()

    get_pool().open()

    assert await Author.objects.acount() == 0
    await get_pool().aclose()


async def test_aclose_leaves_no_connection_open(no_session_left: None) -> None:
    await asyncio.gather(*(Author.objects.acount() for _ in range(10)))
    await get_pool().aclose()

    assert get_pool().get_stats()["connections_open"] == get_pool().get_stats()["pool_size"] == 0


def test_a_pool_closed_in_one_event_loop_serves_the_next_after_open() -> None:
    async def serve() -> int:
        get_pool().open()
        try:
            return await Author.objects.acount()
        finally:
            await get_pool().aclose()

    assert [asyncio.run(serve()) for _ in range(3)] == [0, 0, 0]


def test_the_interpreter_exits_while_a_dropped_block_waits_for_the_call_of_its_child() -> None:
    output = run_program("""
        import gc, logging, time
        logging.disable()
        started, go_on = threading.Event(), threading.Event()

        @database_sync_to_async
        def call():
            started.set()
            go_on.wait(10)

        async def block():
            async with transaction.atomic():
                global child
                child = asyncio.create_task(call())
                await asyncio.Event().wait()

        async def start():
            asyncio.create_task(block())
            await asyncio.to_thread(started.wait)
            for task in asyncio.all_tasks():
                task._log_destroy_pending = False
            await asyncio.get_running_loop().shutdown_default_executor()

        loop = asyncio.new_event_loop()
        loop.run_until_complete(start())
        loop.close()
        del loop
        gc.collect()
        threading.Timer(0.5, go_on.set).start()  # after the main thread has begun to end
    """)

    assert output == ""
