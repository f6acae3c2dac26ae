"""An unknown database: a lease leaves nothing, and no statement is stopped."""

import asyncio
import threading

import pytest
from django.db import connection

from daf_orm import database_sync_to_async, databases, transaction
from daf_orm._pool.process_pool import reset_pool
from daf_orm.databases.base import Database
from tests.orm.leases.test_session import another, ask, run_sql
from tests.project.library.models import Author

pytestmark = pytest.mark.usefixtures("many_connections", "unknown")


@pytest.fixture
def unknown(monkeypatch):
    """Make the database of this run an unknown kind."""
    known = Database()
    monkeypatch.setattr(databases, "_database", lambda _: known)
    reset_pool()
    yield
    reset_pool()


def begin_by_hand():
    run_sql("BEGIN")
    Author.objects.create(name="left")


async def test_a_transaction_left_open_is_rolled_back(pool_with):
    pool_with(MAX_SIZE=1)

    await another(database_sync_to_async(begin_by_hand)())
    await another(Author.objects.acreate(name="kept"))
    reset_pool()  # uncommitted rows are lost now

    assert [author.name async for author in Author.objects.all()] == ["kept"]


async def test_a_block_commits_and_rolls_back_as_everywhere(pool_with):
    pool_with(MAX_SIZE=1)
    async with transaction.atomic():
        await Author.objects.acreate(name="kept")
    with pytest.raises(KeyError):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            raise KeyError

    assert [author.name async for author in Author.objects.all()] == ["kept"]


async def test_a_session_that_may_have_been_changed_is_closed(pool_with):
    pool_with(MAX_SIZE=1)

    def driver_connection():
        connection.ensure_connection()
        return id(connection.connection), connection.connection

    first, _kept = await another(database_sync_to_async(driver_connection)())
    await another(ask("SELECT 1"))
    second, _kept_too = await another(database_sync_to_async(driver_connection)())
    await another(ask("SELECT abs(1), upper('a'), replace('a', 'b', 'c')"))
    await another(ask(UNKNOWN[connection.vendor]))
    third, _ = await another(database_sync_to_async(driver_connection)())

    assert first == second
    assert third != first


UNKNOWN = {"sqlite": "PRAGMA query_only", "postgresql": "SHOW search_path", "mysql": "SHOW TABLES"}


async def test_a_cancelled_call_waits_for_its_statement(pool_with):
    pool_with(MAX_SIZE=1)
    started, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        run_sql("SELECT 1")
        started.set()
        assert may_end.wait(30)
        ended.set()

    task = asyncio.create_task(database_sync_to_async(work)())
    assert await asyncio.to_thread(started.wait, 30)
    task.cancel()
    await asyncio.sleep(0.2)
    assert not task.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()
    assert await Author.objects.acount() == 0


async def test_settings_that_are_postgresqls_leave_it_alone(pool_with):
    pool_with(MAX_SIZE=1, CONFIGURE=f"{__name__}.settings_now")

    assert await Author.objects.acount() == 0
    async with transaction.atomic():
        await Author.objects.acreate(name="kept")

    assert await Author.objects.acount() == 1


def settings_now():
    return {"app.tenant": "alpha"}
