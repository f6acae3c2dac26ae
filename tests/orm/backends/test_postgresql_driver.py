"""The commands that the driver's connections hold back are invisible from outside, and so is the end of connections."""

from __future__ import annotations

import asyncio
import gc
import importlib
import socket
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import DatabaseError, InterfaceError, ProgrammingError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from daf_orm import get_pool
from daf_orm import transaction as daf_transaction
from daf_orm.detection import guard
from daf_orm.sync import query_to_async
from tests.project.library.models import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

pytestmark = pytest.mark.native
SLEEPS = "query LIKE 'SELECT pg_sleep(600%%' AND state = 'active' AND datname = %s"
"""Of a session of this process's database: other processes of the run have others."""


def execute(statement: str, params: list[object] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as opened:
        opened.execute(statement, params)
        return opened.fetchall() if opened.description else []


def names() -> list[str]:
    return sorted(Event.objects.values_list("name", flat=True))


async def on_loop(work: Callable[[], Any]) -> Any:
    return await query_to_async(work)()


# Commands held back


@pytest.mark.parametrize(
    "statement",
    [
        "COPY library_event TO STDOUT",
        "/* first */ COPY library_event TO STDOUT",
        "-- first\nCOPY library_event TO STDOUT",
    ],
)
async def test_a_copy_that_is_executed_is_refused_and_the_connection_serves_on(statement: str) -> None:
    def work() -> list[str]:
        with pytest.raises(ProgrammingError, match="COPY"), transaction.atomic():
            execute(statement)
        with transaction.atomic():
            Event.objects.create(name="after it")
        return names()

    assert await on_loop(work) == ["after it"]


async def test_psycopgs_own_block_stands_inside_the_savepoint_before_it() -> None:
    def work() -> list[str]:
        with transaction.atomic():
            Event.objects.create(name="first")
            with transaction.atomic():
                with connection.connection.transaction():
                    execute("INSERT INTO library_event (name) VALUES ('second')")
                Event.objects.create(name="third")
            with suppress(ZeroDivisionError), transaction.atomic():
                with connection.connection.transaction():
                    execute("INSERT INTO library_event (name) VALUES ('gone')")
                raise ZeroDivisionError
        return names()

    assert await on_loop(work) == ["first", "second", "third"]


async def test_a_pipeline_of_psycopgs_stands_inside_the_savepoint_before_it() -> None:
    def work() -> list[str]:
        with transaction.atomic():
            Event.objects.create(name="first")
            with suppress(ZeroDivisionError), transaction.atomic():
                with connection.connection.pipeline():
                    execute("INSERT INTO library_event (name) VALUES ('gone')")
                    execute("INSERT INTO library_event (name) VALUES ('gone too')")
                raise ZeroDivisionError
        return names()

    assert await on_loop(work) == ["first"]


async def test_an_error_of_a_server_side_cursor_rolls_back_to_the_savepoint_before_it() -> None:
    def work() -> list[str]:
        with transaction.atomic():
            Event.objects.create(name="first")
            with connection.connection.cursor("ours") as cur:
                cur.execute("SELECT 1 / (3 - number) FROM generate_series(1, 5) AS number")
                assert cur.fetchone() == (0,)
                with suppress(psycopg.errors.DivisionByZero), transaction.atomic():
                    cur.fetchmany(3)
            Event.objects.create(name="second")
        return names()

    assert await on_loop(work) == ["first", "second"]


async def test_a_savepoint_is_there_for_executemany_and_copy() -> None:
    def work() -> list[str]:
        with transaction.atomic():
            for_each = "INSERT INTO library_event (name) VALUES (%s)"
            with suppress(ZeroDivisionError), transaction.atomic():
                with connection.cursor() as opened:
                    opened.executemany(for_each, [["gone"], ["gone too"]])
                raise ZeroDivisionError
            with suppress(ZeroDivisionError), transaction.atomic():
                with connection.cursor() as opened, opened.copy("COPY library_event (name) FROM STDIN") as copy:
                    copy.write_row(["gone as well"])
                raise ZeroDivisionError
            Event.objects.create(name="kept")
        return names()

    assert await on_loop(work) == ["kept"]


async def test_a_statement_that_cannot_be_made_leaves_no_transaction_behind() -> None:
    def work() -> Any:
        transaction.set_autocommit(False)
        with suppress(DatabaseError):
            execute("SELECT %s, %s", [1])
        transaction.set_autocommit(True)
        execute("SELECT 1")
        return connection.connection.info.transaction_status

    assert await on_loop(work) == psycopg.pq.TransactionStatus.IDLE


async def test_a_savepoint_that_is_held_back_keeps_autocommit_from_being_set() -> None:
    def work() -> None:
        transaction.set_autocommit(False)
        connection.savepoint()
        with pytest.raises(ProgrammingError, match="INTRANS"):
            transaction.set_autocommit(True)
        transaction.rollback()
        transaction.set_autocommit(True)

    await on_loop(work)


async def test_by_hand_savepoints_commit_and_roll_back() -> None:
    def work() -> list[str]:
        transaction.set_autocommit(False)
        try:
            first = connection.savepoint()
            second = connection.savepoint()
            Event.objects.create(name="gone")
            connection.savepoint_rollback(second)
            Event.objects.create(name="kept")
            connection.savepoint_commit(first)
            transaction.commit()
            connection.savepoint()
            transaction.rollback()
        finally:
            transaction.set_autocommit(True)
        return names()

    assert await on_loop(work) == ["kept"]


async def test_after_a_savepoint_a_cursor_has_no_rows() -> None:
    def work() -> None:
        with transaction.atomic(), connection.cursor() as opened:
            opened.execute("SELECT 1")
            opened.execute('SAVEPOINT "a"')
            with pytest.raises(ProgrammingError):
                opened.fetchone()
            opened.close()
            with pytest.raises(InterfaceError, match="closed"):
                opened.execute('SAVEPOINT "b"')

    await on_loop(work)


async def test_a_savepoint_of_a_wrong_name_has_its_own_error() -> None:
    def work() -> None:
        with suppress(ZeroDivisionError), transaction.atomic(), connection.cursor() as opened:
            with pytest.raises(ProgrammingError, match="syntax error"):
                opened.execute("SAVEPOINT select")
            raise ZeroDivisionError

    await on_loop(work)


async def test_the_position_of_an_error_is_that_in_its_own_statement() -> None:
    def work() -> Any:
        with pytest.raises(ProgrammingError) as raised, transaction.atomic():
            execute("SELECT nothing FROM library_event")
        return raised.value.__cause__.diag.statement_position  # type: ignore[union-attr]

    assert await on_loop(work) == "8"


async def test_the_replacement_of_a_wrappers_method_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    ensure_connection = BaseDatabaseWrapper.ensure_connection

    def counting(self: BaseDatabaseWrapper) -> None:
        nonlocal counted
        counted += 1
        ensure_connection(self)

    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", counting)
    before = guard.force_mode("off")
    try:
        await on_loop(names)
    finally:
        guard.force_mode(before)
    assert counted


async def test_a_mock_of_a_method_of_djangos_wrapper_is_called() -> None:
    def work() -> int:
        replacing = mock.patch.object(BaseDatabaseWrapper, "savepoint_commit", autospec=True)
        with replacing as replaced, transaction.atomic(), transaction.atomic():
            Event.objects.create(name="a")
        return replaced.call_count

    assert await on_loop(work) == 1


# Ends


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("begins_with", ["a connection", "connecting"])
async def test_a_cancellation_at_any_wait_ends_in_order(
    begins_with: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Connection = importlib.import_module("daf_orm.backends.postgresql.driver").Connection  # noqa: N806 - a class
    waits = 0
    fatal = 0

    def note() -> None:
        nonlocal waits
        waits += 1
        if waits == fatal:
            for number in range(times):
                asyncio.get_running_loop().call_later(0.002 * number, task.cancel)

    wait, connect = Connection._wait_on_loop, Connection.connect

    def noting_wait(*args: Any, **kwargs: Any) -> Any:
        note()
        return wait(*args, **kwargs)

    def noting_connect(*args: Any, **kwargs: Any) -> Any:
        note()
        return connect(*args, **kwargs)

    monkeypatch.setattr(Connection, "_wait_on_loop", noting_wait)
    monkeypatch.setattr(importlib.import_module("daf_orm.backends.postgresql.base")._Driver, "connect", noting_connect)

    async def work() -> None:
        async with daf_transaction.atomic():
            await Event.objects.acreate(name="a")
            with suppress(DatabaseError):
                async with daf_transaction.atomic():
                    await Event.objects.acreate(name="b")
            await Event.objects.acreate(name="c")

    was_cancelled = True
    while was_cancelled:
        if begins_with == "connecting":
            await on_loop(connection_close)
        waits, fatal = 0, fatal + 1
        task = asyncio.create_task(work())
        was_cancelled = bool((await asyncio.wait({task}, timeout=20))[1]) or task.cancelled()
        assert task.done()
        waits = -1000
        assert await on_loop(names) in ([], ["a", "b", "c"])
        await Event.objects.all().adelete()
        stats = get_pool().get_stats()
        assert stats["pool_available"] == stats["pool_size"]
    task.result()
    assert fatal > 4


def connection_close() -> None:
    connection.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until_one_sleeps() -> None:
    with psycopg.connect(django_settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:
        query = f"SELECT count(*) FROM pg_stat_activity WHERE {SLEEPS}"
        while observer.execute(query, [connection.settings_dict["NAME"]]).fetchone() == (0,):
            await asyncio.sleep(0.01)


def sleep() -> None:
    execute("SELECT pg_sleep(600)")


def sleep_in_block() -> None:
    with transaction.atomic():
        sleep()


async def test_a_connection_that_another_thread_closes_fails_the_wait() -> None:
    held: list[Any] = []

    def work() -> None:
        connection.ensure_connection()
        held.append(connection.connection)
        sleep()

    task = asyncio.create_task(on_loop(work))
    await until_one_sleeps()
    closing = asyncio.create_task(asyncio.to_thread(held[0].close))
    async with asyncio.timeout(20):
        with pytest.raises(DatabaseError, match="closed"):
            await task
    await closing
    with psycopg.connect(django_settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:
        # As with psycopg, the server goes on until it has something to send.
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {SLEEPS}"
        observer.execute(query, [connection.settings_dict["NAME"]])

    assert await on_loop(names) == []


async def test_a_notification_that_comes_after_a_time_out_is_kept() -> None:
    def work() -> list[str]:
        execute("LISTEN ours")
        driver = connection.connection
        assert list(driver.notifies(timeout=0.01)) == []
        with psycopg.connect(django_settings.DATABASE_URL, dbname=driver.info.dbname, autocommit=True) as other:
            other.execute("NOTIFY ours, 'a'")
        from daf_orm._core.bridge import current_bridge  # noqa: PLC0415

        current_bridge().wait_until_done(asyncio.sleep(0.05))  # type: ignore[union-attr] # the loop sees it come
        found = [each.payload for each in driver.notifies(timeout=5, stop_after=1)]
        execute("UNLISTEN ours")
        return found

    assert await on_loop(work) == ["a"]


@pytest.fixture
def silent_server() -> Iterator[int]:
    """Yield the port of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def new_loops() -> list[Any]:
    loops: list[Any] = [asyncio.new_event_loop]
    with suppress(ImportError):
        loops.append(importlib.import_module("uvloop").new_event_loop)
    return loops


@pytest.mark.parametrize("new_loop", new_loops())
@pytest.mark.parametrize("work", [sleep, sleep_in_block])
def test_a_loop_that_is_closed_over_a_statement_leaves_nothing(new_loop: Any, work: Callable[[], None]) -> None:
    drop(new_loop, on_loop(names), None)
    before = descriptors()
    drop(new_loop, on_loop(work), until_one_sleeps)

    within_seconds(lambda: descriptors() <= before)
    within_seconds(lambda: not sleepers())
    assert get_pool().get_stats()["pool_available"] == get_pool().get_stats()["pool_size"]


@pytest.mark.parametrize("new_loop", new_loops())
def test_a_loop_that_is_closed_over_connecting_leaves_nothing(new_loop: Any, silent_server: int) -> None:
    drop(new_loop, on_loop(names), None)
    before = descriptors()

    def connect_to_silence() -> None:
        wrapper = connection.copy()
        wrapper.settings_dict = wrapper.settings_dict | {"HOST": "127.0.0.1", "PORT": str(silent_server)}
        wrapper.ensure_connection()

    async def a_moment() -> None:
        await asyncio.sleep(0.1)

    drop(new_loop, on_loop(connect_to_silence), a_moment)
    within_seconds(lambda: descriptors() <= before)


def drop(new_loop: Any, work: Coroutine[Any, Any, Any], until: Callable[[], Coroutine[Any, Any, None]] | None) -> None:
    """Run it to its end; or until a given point, and close the loop during it."""
    loop = new_loop()
    task = loop.create_task(work)
    del work
    loop.run_until_complete(task if until is None else until())
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task._log_destroy_pending = False
        del task
        gc.collect()


def sleepers() -> int:
    with psycopg.connect(django_settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:
        query = f"SELECT count(*) FROM pg_stat_activity WHERE {SLEEPS}"
        return observer.execute(query, [connection.settings_dict["NAME"]]).fetchone()[0]  # type: ignore[index]


def within_seconds(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)
