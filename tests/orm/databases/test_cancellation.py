"""A cancelled call: its statement stops, its connection is idle, and none of its changes is committed later."""

import asyncio
import contextlib
import contextvars
import gc
import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import connection, connections
from django.db import transaction as django_transaction
from django.db.transaction import TransactionManagementError

from daf_orm import cursor, database_sync_to_async, get_pool, transaction
from tests.project.library.models import Author, Counter

SLOW_ON_SQLITE = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e12) SELECT max(i) FROM n"


SLOW = {"sqlite": SLOW_ON_SQLITE, "postgresql": "SELECT pg_sleep(600)", "mysql": "SELECT SLEEP(600)"}


def slow_sql() -> str:
    return SLOW[connection.vendor]


def slowly(started: threading.Event, *more: Callable[[], object]) -> Callable[[], None]:
    """Return a synchronous function that sets ``started``, runs a statement without end, then ``more``."""

    def run() -> None:
        with connection.cursor() as db_cursor:
            started.set()
            db_cursor.execute(slow_sql())
            db_cursor.fetchone()
        for step in more:
            step()

    return run


@pytest.fixture
def own_connections() -> None:
    """Skip where the lease borrows the main thread's connection, whose statements DAF does not stop."""
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("in-memory SQLite: the connection is the main thread's")


async def wait_for(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


async def run_out(limit: asyncio.Timeout, started: threading.Event) -> None:
    """End a time-out once what it limits has started."""
    await wait_for(started)
    limit.reschedule(asyncio.get_running_loop().time())


@pytest.mark.usefixtures("own_connections")
async def test_a_cancelled_call_stops_its_statement() -> None:
    started = threading.Event()
    task = asyncio.create_task(database_sync_to_async(slowly(started))())
    await wait_for(started)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    assert await Author.objects.acount() == 0


@pytest.mark.usefixtures("own_connections")
async def test_a_timeout_stops_the_statement_and_later_writes() -> None:
    started = threading.Event()
    work = database_sync_to_async(slowly(started, lambda: Author.objects.create(name="too late")))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await work()

    assert await Author.objects.acount() == 0


@pytest.mark.usefixtures("own_connections")
async def test_a_cancellation_between_two_statements_stops_the_rest() -> None:
    between, cancelled = threading.Event(), threading.Event()

    def write_twice() -> None:
        with django_transaction.atomic():
            Author.objects.create(name="first")
            between.set()
            assert cancelled.wait(30)
            with contextlib.suppress(Exception):  # even where an error is swallowed …
                Author.objects.create(name="second")
        # … the commit is refused

    task = asyncio.create_task(database_sync_to_async(write_twice)())
    await wait_for(between)
    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cancelled.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await Author.objects.acount() == 0


@pytest.mark.parametrize("times", [1, 2, 10])
async def test_a_block_cancelled_any_number_of_times_rolls_back_before_its_lease_is_returned(
    times: int,
) -> None:
    wrote = asyncio.Event()

    async def work() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            wrote.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await wrote.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task

    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"]
    assert stats["returns_bad"] == 0
    assert await Author.objects.acount() == 0


@pytest.mark.usefixtures("own_connections")
async def test_a_cancelled_call_returns_only_when_its_connection_is_quiet() -> None:
    started, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def stubborn() -> None:
        started.set()
        assert may_end.wait(30)
        ended.set()

    task = asyncio.create_task(database_sync_to_async(stubborn)())
    await wait_for(started)
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0.01)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()


async def test_a_waiting_call_that_is_cancelled_never_runs(pool_with: Callable[..., object]) -> None:
    pool_with(MAX_SIZE=1)
    ran = []
    async with transaction.atomic():
        outside = asyncio.get_running_loop().create_task(_outside(ran), context=contextvars.Context())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert get_pool().get_stats()["requests_waiting"] == 1
        outside.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outside
        assert get_pool().get_stats()["requests_waiting"] == 0

    assert ran == []


async def _outside(ran: list[int]) -> None:
    await database_sync_to_async(lambda: ran.append(1))()


@pytest.mark.usefixtures("own_connections")
async def test_a_block_that_goes_on_after_a_timed_out_call_does_not_succeed() -> None:
    started = threading.Event()
    with pytest.raises(TransactionManagementError, match="cancelled"):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    running_out = asyncio.create_task(run_out(limit, started))
                    await database_sync_to_async(slowly(started))()
            await running_out

    assert await Author.objects.acount() == 0


@pytest.mark.usefixtures("own_connections")
async def test_a_nested_block_confines_a_timed_out_read() -> None:
    async with transaction.atomic():
        await Author.objects.acreate(name="kept")
        with pytest.raises(TimeoutError):
            async with transaction.atomic(), asyncio.timeout(0.2):
                await database_sync_to_async(slowly(threading.Event()))()

    assert await Author.objects.acount() == 1


async def test_a_cursor_left_by_cancellation_returns_its_lease() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with cursor() as cur:
            await cur.execute("SELECT 1")
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"]


@pytest.mark.postgresql
async def test_the_server_no_longer_runs_a_cancelled_statement() -> None:
    task = asyncio.create_task(database_sync_to_async(slowly(threading.Event()))())
    with psycopg.connect(django_settings.DATABASE_URL, autocommit=True, dbname="postgres") as observer:
        active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%%' AND state = 'active'"
        active += f" AND datname = '{connection.settings_dict['NAME']}'"  # other processes of the run have others
        while (await asyncio.to_thread(observer.execute, active)).fetchone() == (0,):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await asyncio.to_thread(observer.execute, active)).fetchone() == (0,)


@pytest.mark.usefixtures("has_server")
async def test_the_next_user_of_the_connection_is_not_hit_by_a_cancellation(
    pool_with: Callable[..., object],
) -> None:
    pool_with(MAX_SIZE=1)
    for _ in range(20):
        started = threading.Event()
        task = asyncio.create_task(database_sync_to_async(slowly(started))())
        await wait_for(started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await Author.objects.acount() == 0


@pytest.mark.usefixtures("own_connections")
def test_a_loop_that_is_closed_without_ending_its_tasks_loses_no_lease() -> None:
    started = threading.Event()

    async def start() -> list[asyncio.Task[None]]:
        entered = asyncio.Event()

        async def block() -> None:
            async with transaction.atomic():
                await Author.objects.acreate(name="lost")
                entered.set()
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(block())]
        await entered.wait()
        if connection.vendor == "postgresql":
            tasks.append(asyncio.create_task(database_sync_to_async(slowly(started))()))
            await wait_for(started)
        return tasks

    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(start())
    loop.close()
    assert tasks[0].get_name()
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    tasks.clear()
    del tasks, task
    if connection.vendor == "postgresql":
        _terminate_sleepers()

    deadline = time.monotonic() + 20
    while (stats := get_pool().get_stats())["pool_available"] != stats["pool_size"]:
        assert time.monotonic() < deadline, stats
        gc.collect()  # a dropped task is in a cycle with its future
        time.sleep(0.01)
    assert Author.objects.count() == 0


def _terminate_sleepers() -> None:
    with connections["default"].cursor() as db_cursor:
        db_cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE '%%pg_sleep(600)%%' AND pid <> pg_backend_pid()"
            " AND datname = current_database()",  # other processes of the run have others
            [],
        )


@pytest.mark.sqlite_file
async def test_a_call_that_waits_for_the_lock_of_a_database_file_can_be_cancelled() -> None:
    async with transaction.atomic():
        await Author.objects.acreate(name="holds the lock")
        for work in (Author.objects.aupdate(name="too late"), _write_in_a_block()):
            waiting = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waiting, 0.3)

    assert [author.name async for author in Author.objects.all()] == ["holds the lock"]


async def _write_in_a_block() -> None:
    async with transaction.atomic():
        await Author.objects.acreate(name="too late")


@pytest.mark.sqlite_file
async def test_a_call_that_has_waited_for_the_lock_keeps_no_connection() -> None:
    async def write_and_look() -> int:
        await _write_in_a_block()
        pinned: int = get_pool().get_stats()["connections_pinned"]
        return pinned

    gc.disable()  # the leftovers of failed attempts are garbage
    try:
        async with transaction.atomic():
            await Author.objects.acreate(name="holds the lock")
            waiting = asyncio.get_running_loop().create_task(write_and_look(), context=contextvars.Context())
            done, _ = await asyncio.wait([waiting], timeout=0.3)  # longer than one short wait of SQLite's
            assert not done
        assert await waiting == 0
    finally:
        gc.enable()


@pytest.mark.sqlite_file
async def test_writers_to_a_database_file_wait_instead_of_failing() -> None:
    counter = await Counter.objects.acreate(name="contended")

    async def increment() -> None:
        async with transaction.atomic():
            fresh = await Counter.objects.aget(pk=counter.pk)
            fresh.value += 1
            await fresh.asave()

    await asyncio.gather(*(increment() for _ in range(40)), *(Author.objects.acreate(name="x") for _ in range(40)))

    assert (await Counter.objects.aget()).value == 40
