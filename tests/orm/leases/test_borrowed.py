"""Leases share one connection on in-memory SQLite and in tests: an owner's changes are removed between its calls."""

import sqlite3

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from daf_orm import database_sync_to_async
from tests.orm.leases.test_owners import (
    NOT_IN_A_TRANSACTION,
    WAYS,
    by_async_to_sync,
    by_block,
    by_database_sync_to_async,
    in_a_context,
    in_a_request,
    in_a_task,
    in_tasks_of_a_request,
)
from tests.orm.leases.test_session import SQLITE, ask, run_sql

pytestmark = pytest.mark.sqlite_memory
OWNERS = [in_a_context, in_a_task, in_a_request, in_tasks_of_a_request]


@pytest.mark.parametrize("owner", OWNERS, ids=lambda func: func.__name__)
@pytest.mark.parametrize("way", WAYS, ids=lambda func: func.__name__)
@pytest.mark.parametrize("name", SQLITE)
async def test_an_owner_finds_its_changes_and_no_other_owner_does(owner, way, name):
    change, look = SQLITE[name]
    if way is by_block and any(word in change for word in NOT_IN_A_TRANSACTION):
        pytest.skip("SQLite does nothing of it in a transaction")
    (before,) = await owner(by_database_sync_to_async(look))

    ways = [each for each in WAYS if each is not by_async_to_sync and not (each is by_block and "query_only" in look)]
    _, *kept = await owner(way(change), *[each(look) for each in ways])
    (after,) = await owner(by_database_sync_to_async(look))

    assert len(set(kept)) == 1
    assert kept[0] != before
    assert after == before


def tables():
    run_sql("CREATE TEMP TABLE scratch (id INTEGER PRIMARY KEY, note UNIQUE)")
    run_sql("CREATE INDEX temp.notes ON scratch (note)")
    run_sql("CREATE TEMP VIEW shouted AS SELECT upper(note) AS note FROM scratch")
    run_sql(
        "CREATE TEMP TRIGGER twice AFTER INSERT ON scratch WHEN NEW.id < 10 BEGIN "
        "INSERT INTO scratch VALUES (NEW.id + 10, NEW.note || '!'); END"
    )
    run_sql("INSERT INTO scratch VALUES (1, 'a')")
    run_sql("ATTACH ':memory:' AS extra")
    run_sql("CREATE TABLE extra.more AS SELECT 42 AS answer")


async def test_the_contents_of_temporary_tables_and_attached_databases_are_kept():
    found = await in_a_request(
        database_sync_to_async(tables),
        lambda: ask("INSERT INTO scratch VALUES (2, 'b')"),
        lambda: ask("SELECT group_concat(id || note) FROM (SELECT * FROM scratch ORDER BY id)"),
        lambda: ask("SELECT count(*) FROM shouted WHERE note = 'B!'"),
        lambda: ask("SELECT answer FROM extra.more"),
        lambda: ask("SELECT count(*) FROM temp.sqlite_master"),
    )

    assert found[2:5] == ["1a,2b,11a!,12b!", 1, 42]
    assert found[5] == 5  # with the index of UNIQUE
    assert await in_a_request(lambda: ask("SELECT count(*) FROM temp.sqlite_master")) == [0]


async def test_options_of_the_drivers_connection_are_their_owners():
    def set_factory():
        connection.ensure_connection()
        connection.connection.row_factory = sqlite3.Row

    def look():
        return connection.connection.row_factory

    _, one, other = await in_a_request(
        database_sync_to_async(set_factory), database_sync_to_async(look), sync_to_async(look)
    )

    assert (one, other) == (sqlite3.Row, sqlite3.Row)
    assert await in_a_request(database_sync_to_async(look)) == [None]


@pytest.mark.django_db
async def test_in_a_test_too_an_owner_keeps_its_own_beside_another():
    change, look = SQLITE["query only"]
    (before,) = await in_a_request(lambda: ask(look))

    _, kept = await in_a_request(lambda: ask(change), lambda: ask(look))

    assert (kept, await in_a_request(lambda: ask(look))) == (1, [before])
