"""The connection pool: its limits, the order of its waiters, its errors, and the leases it takes back."""

import asyncio
import contextvars
import gc
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.db import transaction as django_transaction
from django.db.backends.signals import connection_created

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests, cursor, database_sync_to_async, get_pool, transaction
from daf_orm._core import finalizers
from daf_orm._leases import connection_set
from daf_orm._leases.lease import Lease
from daf_orm._pool import process_pool
from daf_orm._pool.pool import ConnectionPool
from daf_orm._pool.process_pool import reset_pool
from tests.project.library.models import Author

STATISTICS = {
    "pool_min",
    "pool_max",
    "pool_size",
    "pool_available",
    "requests_waiting",
    "connections_open",
    "connections_pinned",
    "requests_num",
    "requests_queued",
    "requests_wait_ms",
    "requests_errors",
    "returns_cleaned",
    "returns_bad",
    "connections_lost",
}


@pytest.fixture
def new_pool() -> Iterator[Callable[..., ConnectionPool]]:
    """Make pools beside the process's own, to lend from by hand."""
    pools: list[ConnectionPool] = []

    def make(**options: Any) -> ConnectionPool:
        pools.append(ConnectionPool(**options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def outside(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Start a task that is in none of the test's transactions."""
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())


async def waiting(pool: ConnectionPool, number: int) -> None:
    while pool.get_stats()["requests_waiting"] < number:
        await asyncio.sleep(0)


@database_sync_to_async
def driver_connection() -> Any:
    connection.ensure_connection()
    return connection.connection


# The number of leases


@pytest.mark.no_database
@pytest.mark.parametrize(("min_size", "max_size"), [(0, 0), (3, 2), (-1, 5)])
def test_sizes_that_contradict_each_other_are_refused(min_size: int, max_size: int) -> None:
    with pytest.raises(ValueError, match="max_size must be at least 1"):
        ConnectionPool(min_size=min_size, max_size=max_size)


@pytest.mark.no_database
async def test_never_lends_more_than_max_size(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=3)
    lent: set[Lease] = set()
    most = 0

    async def borrow() -> None:
        nonlocal most
        lease = await pool.lend()
        lent.add(lease)
        most = max(most, len(lent))
        await asyncio.sleep(0)
        lent.remove(lease)
        pool.put_back(lease)

    await asyncio.gather(*(borrow() for _ in range(50)))

    assert most == 3
    assert pool.get_stats()["pool_size"] == pool.get_stats()["pool_available"] == 3


@pytest.mark.no_database
async def test_lends_the_most_recently_used_first(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=2)
    first, second = await pool.lend(), await pool.lend()
    pool.put_back(first)
    pool.put_back(second)

    again = await pool.lend()

    assert again.connections is second.connections
    pool.put_back(again)


def test_threads_that_ask_first_at_the_same_time_get_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    reset_pool()
    make, making, go_on = process_pool._from_settings, threading.Event(), threading.Event()
    found: list[ConnectionPool] = []

    def slow(settings: Any) -> ConnectionPool:
        making.set()
        assert go_on.wait(10)
        return make(settings)

    monkeypatch.setattr(process_pool, "_from_settings", slow)
    threads = [threading.Thread(target=lambda: found.append(get_pool())) for _ in range(2)]
    threads[0].start()
    assert making.wait(10)
    threads[1].start()
    while (frame := sys._current_frames().get(threads[1].ident)) is None or "get_pool" not in _names(frame):
        time.sleep(0.001)  # until it has seen that there is no pool
    go_on.set()
    for thread in threads:
        thread.join()

    assert found[0] is found[1]
    assert not found[0].closed


def _names(frame: Any) -> list[str]:
    """Return the functions of the two innermost frames: the lock is waited for in there."""
    return [each.f_code.co_name for each in (frame, frame.f_back) if each is not None]


def test_event_loops_in_several_threads_share_one_pool(pool_with: Callable[..., ConnectionPool]) -> None:
    pool = pool_with(MAX_SIZE=2)
    lock, running, most = threading.Lock(), 0, 0

    @database_sync_to_async
    def create() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        Author.objects.create(name="shared")
        with lock:
            running -= 1

    async def many() -> None:
        await asyncio.gather(*(create() for _ in range(10)))

    with ThreadPoolExecutor(3) as threads:
        for loop in [threads.submit(asyncio.run, many()) for _ in range(3)]:
            loop.result(30)

    assert most <= pool.max_size
    assert get_pool() is pool
    assert Author.objects.count() == 30


# The order


@pytest.mark.no_database
async def test_serves_waiters_in_the_order_they_came(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=1)
    served: list[int] = []

    async def borrow(number: int) -> None:
        lease = await pool.lend()
        served.append(number)
        pool.put_back(lease)

    held = await pool.lend()
    tasks = []
    for number in range(6):
        tasks.append(asyncio.create_task(borrow(number)))
        await waiting(pool, number + 1)
    pool.put_back(held)
    await asyncio.gather(*tasks)

    assert served == [0, 1, 2, 3, 4, 5]


@pytest.mark.no_database
async def test_a_newcomer_does_not_overtake_a_waiter(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=1)
    held = await pool.lend()
    waiter = asyncio.create_task(pool.lend())
    await waiting(pool, 1)
    pool.put_back(held)  # it is handed to the waiter here, before the waiter's task runs again

    with pytest.raises(PoolTimeout):
        await pool.lend(timeout=0)

    pool.put_back(await waiter)


@pytest.mark.no_database
async def test_a_cancelled_waiter_costs_no_other_a_turn(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=1)
    held = await pool.lend()
    tasks = []
    for number in range(3):
        tasks.append(asyncio.create_task(pool.lend()))
        await waiting(pool, number + 1)
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    assert pool.get_stats()["requests_waiting"] == 2
    pool.put_back(held)
    pool.put_back(await tasks[1])
    pool.put_back(await tasks[2])

    assert tasks[0].cancelled()


@pytest.mark.no_database
async def test_a_lease_handed_to_a_waiter_cancelled_at_that_moment_is_not_lost(
    new_pool: Callable[..., ConnectionPool],
) -> None:
    pool = new_pool(max_size=1)
    held = await pool.lend()
    waiter = asyncio.create_task(pool.lend())
    await waiting(pool, 1)
    pool.put_back(held)
    waiter.cancel()
    await asyncio.wait([waiter])

    assert waiter.cancelled()
    assert pool.get_stats()["pool_available"] == 1


# Errors and statistics


async def test_a_timeout_names_the_limit_the_holder_and_the_remedy(
    pool_with: Callable[..., ConnectionPool],
) -> None:
    pool_with(MAX_SIZE=1, TIMEOUT=0.05)
    async with transaction.atomic():
        with pytest.raises(PoolTimeout) as error:
            await outside(Author.objects.acount())

    message = str(error.value)
    assert "within 0.05 s (pool: 1 of 1 lent, 0 more waiting)" in message
    assert "Raise DAF_ORM['MAX_SIZE']" in message
    assert f"{__file__}:" in message
    assert f"in {test_a_timeout_names_the_limit_the_holder_and_the_remedy.__name__}" in message


@pytest.mark.no_database
async def test_a_call_may_wait_shorter_than_the_pool_says(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=1, timeout=600)
    held = await pool.lend()

    with pytest.raises(PoolTimeout, match=r"within 0\.01 s"):
        await pool.lend(timeout=0.01)

    pool.put_back(held)
    assert pool.get_stats()["requests_errors"] == 1


@pytest.mark.no_database
async def test_a_full_queue_refuses_at_once_and_says_so(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=1, max_waiting=1)
    held = await pool.lend()
    waiter = asyncio.create_task(pool.lend())
    await waiting(pool, 1)

    with pytest.raises(TooManyRequests, match=r"1 calls already wait .* 1 of 1 lent.*MAX_WAITING"):
        await pool.lend()

    pool.put_back(held)
    pool.put_back(await waiter)


@pytest.mark.no_database
async def test_statistics_have_the_keys_of_psycopg_pool(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(min_size=1, max_size=2)
    lease = await pool.lend()
    stats = pool.get_stats()
    pool.put_back(lease)

    assert set(stats) == STATISTICS
    assert (stats["pool_min"], stats["pool_max"]) == (1, 2)
    assert (stats["pool_size"], stats["pool_available"], stats["requests_num"]) == (1, 0, 1)


@pytest.mark.no_database
async def test_pop_stats_starts_the_counters_again(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=1)
    pool.put_back(await pool.lend())

    assert pool.pop_stats()["requests_num"] == 1
    stats = pool.get_stats()
    assert stats["requests_num"] == 0
    assert stats["pool_size"] == 1


@pytest.mark.no_database
async def test_waiting_is_counted(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=1)
    held = await pool.lend()
    waiter = asyncio.create_task(pool.lend())
    await waiting(pool, 1)
    await asyncio.sleep(0.02)  # the time that is measured
    pool.put_back(held)
    pool.put_back(await waiter)

    stats = pool.get_stats()
    assert stats["requests_queued"] == 1
    assert stats["requests_wait_ms"] >= 10


# Closing


@pytest.mark.no_database
async def test_a_closed_pool_says_how_to_open_it_and_opens(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=1)
    await pool.aclose()
    await pool.aclose()
    with pytest.raises(PoolClosed, match=r"get_pool\(\)\.open\(\)"):
        await pool.lend()
    assert pool.closed

    pool.open()

    pool.put_back(await pool.lend())
    assert not pool.closed


@pytest.mark.no_database
async def test_closing_ends_every_wait(new_pool: Callable[..., ConnectionPool]) -> None:
    pool = new_pool(max_size=1)
    held = await pool.lend()
    waiters = [asyncio.create_task(pool.lend()) for _ in range(3)]
    await waiting(pool, 3)
    closing = asyncio.create_task(pool.aclose())
    errors = await asyncio.gather(*waiters, return_exceptions=True)
    pool.put_back(held)
    await closing

    assert [type(error) for error in errors] == [PoolClosed] * 3
    assert pool.get_stats()["pool_size"] == 0


async def test_closing_waits_for_the_work_in_progress(pool_with: Callable[..., ConnectionPool]) -> None:
    pool = pool_with()
    async with transaction.atomic():
        await Author.objects.acreate(name="kept")
        closing = outside(pool.aclose(timeout=30))
        while not pool.closed:
            await asyncio.sleep(0)
        await Author.objects.acreate(name="kept too")
        assert not closing.done()
    await closing

    assert pool.get_stats()["pool_size"] == pool.get_stats()["connections_open"] == 0
    pool.open()
    assert await Author.objects.acount() == 2


async def test_closing_gives_up_on_a_lease_that_does_not_end_and_names_its_place(
    pool_with: Callable[..., ConnectionPool], caplog: pytest.LogCaptureFixture
) -> None:
    pool = pool_with()
    async with transaction.atomic():
        await pool.aclose(timeout=0.01)
        await Author.objects.acreate(name="kept")

    assert "closed with leases still held" in caplog.text
    assert f"{__file__}:" in caplog.text
    assert pool.get_stats()["pool_size"] == 0
    pool.open()
    assert await Author.objects.acount() == 1


async def test_opening_again_while_a_lease_is_still_out_keeps_it(
    pool_with: Callable[..., ConnectionPool],
) -> None:
    pool = pool_with()
    async with transaction.atomic():
        await pool.aclose(timeout=0.01)
        pool.open()
        await Author.objects.acreate(name="kept")

    assert await Author.objects.acount() == 1
    assert pool.get_stats()["pool_size"] == pool.get_stats()["pool_available"] == 1


# Age


async def test_idle_connections_are_closed_down_to_min_size(
    pool_with: Callable[..., ConnectionPool], many_connections: None
) -> None:
    pool = pool_with(MAX_SIZE=3, MIN_SIZE=1, MAX_IDLE=0.2)
    barrier = threading.Barrier(3)

    @database_sync_to_async
    def use() -> int:
        connection.ensure_connection()
        barrier.wait(20)
        return pool.get_stats()["connections_open"]

    assert max(await asyncio.gather(*(use() for _ in range(3)))) == 3

    async with asyncio.timeout(20):
        while pool.get_stats()["pool_size"] > 1 or pool.get_stats()["connections_open"] > 1:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)  # longer than it takes to check again

    assert pool.get_stats()["pool_size"] == pool.get_stats()["connections_open"] == 1


async def test_a_connection_in_use_now_and_then_is_not_idle(
    pool_with: Callable[..., ConnectionPool], many_connections: None
) -> None:
    pool_with(MAX_SIZE=1, MAX_IDLE=5.0)
    first = await driver_connection()
    for _ in range(5):
        await asyncio.sleep(0.01)
        assert await driver_connection() is first


async def test_a_connection_past_its_lifetime_is_closed_when_it_is_returned(
    pool_with: Callable[..., ConnectionPool], many_connections: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_with(MAX_SIZE=1, MAX_LIFETIME=300.0)
    first = await driver_connection()
    assert await driver_connection() is first
    assert pool.get_stats()["connections_open"] == 1

    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 300)
    monkeypatch.setattr(connection_set, "time", later)
    assert await driver_connection() is first
    assert pool.get_stats()["connections_open"] == 0
    assert await driver_connection() is not first


# Taken back clean


async def test_a_transaction_left_open_is_rolled_back_and_reported_with_its_origin(
    pool_with: Callable[..., ConnectionPool], many_connections: None, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pool_with(MAX_SIZE=1)
    async with cursor() as cur:
        await cur.execute("BEGIN")
        await cur.execute("INSERT INTO library_author (name, email) VALUES ('lost', '')")

    assert "A transaction was left open on connection 'default'" in caplog.text
    assert f"{__file__}:" in caplog.text
    assert pool.get_stats()["returns_bad"] == 1
    assert await Author.objects.acount() == 0


async def test_a_synchronous_block_left_open_is_rolled_back(
    pool_with: Callable[..., ConnectionPool], caplog: pytest.LogCaptureFixture
) -> None:
    pool = pool_with(MAX_SIZE=1)

    @database_sync_to_async
    def enter() -> None:
        django_transaction.atomic().__enter__()
        Author.objects.create(name="lost")

    await enter()

    assert pool.get_stats()["returns_bad"] == 1
    assert await Author.objects.acount() == 0


async def test_a_connection_whose_autocommit_was_changed_is_closed(
    pool_with: Callable[..., ConnectionPool], many_connections: None
) -> None:
    pool = pool_with(MAX_SIZE=1)
    await database_sync_to_async(lambda: connection.set_autocommit(False))()

    assert pool.get_stats()["connections_open"] == 0
    assert await database_sync_to_async(lambda: connection.get_autocommit())() is True


@pytest.mark.postgresql
async def test_a_connection_whose_isolation_level_was_changed_is_closed(
    pool_with: Callable[..., ConnectionPool],
) -> None:
    pool = pool_with(MAX_SIZE=1)

    @database_sync_to_async
    def change() -> None:
        connection.ensure_connection()
        connection.connection.isolation_level = 4

    await change()

    assert pool.get_stats()["connections_open"] == 0


async def test_a_failed_statement_does_not_cost_the_connection(
    pool_with: Callable[..., ConnectionPool], many_connections: None
) -> None:
    pool_with(MAX_SIZE=1)
    first = await driver_connection()
    async with cursor() as cur:
        with pytest.raises(Exception, match="no_such_table"):
            await cur.execute("SELECT * FROM no_such_table")

    assert await driver_connection() is first


def test_the_lease_of_a_closed_event_loop_is_taken_back(
    pool_with: Callable[..., ConnectionPool], caplog: pytest.LogCaptureFixture
) -> None:
    pool = pool_with(MAX_SIZE=1)

    async def hold() -> AsyncIterator[None]:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            yield

    loop, held = asyncio.new_event_loop(), hold()
    loop.run_until_complete(anext(held))
    loop.close()

    assert asyncio.run(Author.objects.acount()) == 0
    assert "The event loop that held a lease" in caplog.text
    assert f"{__file__}:" in caplog.text
    stats = pool.get_stats()
    assert stats["pool_available"] == stats["pool_size"] == 1
    del held  # else the garbage collector would end its block during a later test, which might see the log record
    gc.collect()
    finalizers.flush()


@pytest.mark.usefixtures("many_connections")
async def test_a_pool_opened_again_while_it_was_closing_works(pool_with: Any) -> None:
    pool = pool_with(MAX_SIZE=2)

    async with transaction.atomic():
        await Author.objects.acreate(name="a")
        closing = asyncio.create_task(pool.aclose(timeout=None))
        while not pool.closed:
            await asyncio.sleep(0)
        pool.open()
        await closing
        await Author.objects.acreate(name="b")

    assert await Author.objects.acount() == 2


async def test_a_replaced_pool_and_its_threads_go(pool_with: Any) -> None:
    gone = []
    for timeout in range(1, 6):
        pool = pool_with(TIMEOUT=timeout)
        await Author.objects.acount()
        gone += map(weakref.ref, (pool.executor, pool._stock.idle[0].thread))
        del pool
    async with asyncio.timeout(20):
        while sum(executor() is not None for executor in gone) > 2:
            await asyncio.sleep(0.01)
            gc.collect()


@pytest.mark.threads
@pytest.mark.usefixtures("many_connections")
async def test_a_connection_cancelled_while_it_is_set_up_is_not_kept(pool_with: Any) -> None:
    pool_with(MAX_SIZE=1)
    loop, opened, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    change, look, value = {
        "postgresql": ("SET application_name = 'mine'", "SHOW application_name", "mine"),
        "mysql": ("SET @mine = 1234", "SELECT @mine", 1234),
        "sqlite": ("PRAGMA cache_size = 1234", "PRAGMA cache_size", 1234),
    }[connection.vendor]

    def set_up(connection: Any, **_: Any) -> None:
        if not opened.is_set():
            loop.call_soon_threadsafe(opened.set)
            go_on.wait(10)
        with connection.cursor() as cur:
            cur.execute(change)

    connection_created.connect(set_up)
    try:
        task = asyncio.create_task(Author.objects.acount())
        await opened.wait()
        task.cancel()
        await asyncio.sleep(0)  # the cancellation has reached the call
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with cursor() as cur:
            await cur.execute(look)
            assert await cur.fetchone() == (value,)
    finally:
        connection_created.disconnect(set_up)


@pytest.mark.threads
@pytest.mark.usefixtures("many_connections")
async def test_a_transaction_whose_end_gets_no_thread_is_rolled_back_before_the_next_use(
    pool_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_with(MAX_SIZE=1)

    def refuse(*args: Any) -> Any:
        raise RuntimeError("can't start new thread")

    with pytest.raises(RuntimeError, match="can't start new thread"):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            (connections,) = pool._stock.lent.values()
            monkeypatch.setattr(connections.thread, "run", refuse)
    monkeypatch.undo()
    pool = pool_with(MAX_SIZE=1) if pool.closed else pool
    await Author.objects.acreate(name="kept")

    assert [author.name async for author in Author.objects.all()] == ["kept"]
