"""A lease is a clean session: no owner finds the state that another one left on a connection. DESIGN invariant 3."""

import asyncio
import contextlib
import sqlite3

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import NotSupportedError, connection, connections
from django.db import transaction as django_transaction
from django.db.backends.signals import connection_created

from daf_orm import cursor, database_sync_to_async, transaction
from daf_orm._leases.session import Session
from daf_orm._pool.process_pool import get_pool, reset_pool
from daf_orm.owners import Ownership
from tests.project.library.models import Counter
from tests.support.processes import run_program

POSTGRESQL = {
    "custom setting": ("SELECT set_config('app.tenant', 'alpha', false)", "SELECT current_setting('app.tenant', true)"),
    "set": ("SET statement_timeout = '12s'", "SHOW statement_timeout"),
    "search_path": ("SET search_path = pg_catalog", "SHOW search_path"),
    "time zone": ("SET TIME ZONE 'Asia/Tokyo'", "SHOW TimeZone"),
    "role": ("SET ROLE pg_monitor", "SELECT current_user"),
    "session authorization": ("SET SESSION AUTHORIZATION pg_monitor", "SELECT session_user"),
    "read only": ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SHOW default_transaction_read_only"),
    "replication role": ("SET session_replication_role = replica", "SHOW session_replication_role"),
    "temporary table": ("CREATE TEMP TABLE scratch (id int)", "SELECT to_regclass('pg_temp.scratch')::text"),
    "advisory lock": (
        "SELECT pg_advisory_lock(7)",
        (
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="  # the server has others, too
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
    ),
    "listen": ("LISTEN news", "SELECT count(*) FROM pg_listening_channels()"),
    "cursor with hold": ("DECLARE kept CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) FROM pg_cursors"),
    "prepared statement": ("PREPARE kept AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements"),
    "do": (
        "DO $$ BEGIN PERFORM set_config('app.done', 'x', false); END $$",
        "SELECT current_setting('app.done', true)",
    ),
}
SQLITE = {
    "foreign keys": ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys"),
    "query only": ("PRAGMA query_only = ON", "PRAGMA query_only"),
    "counted changes": ("PRAGMA count_changes = ON", "PRAGMA count_changes"),
    "read uncommitted": ("PRAGMA read_uncommitted = ON", "PRAGMA read_uncommitted"),
    "size": ("PRAGMA max_page_count = 100000", "PRAGMA max_page_count"),
    "exclusive locks": ("PRAGMA locking_mode = exclusive", "PRAGMA locking_mode"),
    "recursive triggers": ("PRAGMA recursive_triggers = ON", "PRAGMA recursive_triggers"),
    "attached database": (
        "ATTACH ':memory:' AS extra",
        "SELECT count(*) FROM pragma_database_list WHERE name <> 'temp'",
    ),
    "temporary table": ("CREATE TEMP TABLE scratch (id)", "SELECT count(*) FROM sqlite_temp_master"),
}
MYSQL = {
    "variable": ("SET @tenant = 'alpha'", "SELECT @tenant"),
    "variable in a query": ("SELECT @tenant := 'alpha'", "SELECT @tenant"),
    "variable from a query": ("SELECT 'alpha' INTO @tenant", "SELECT @tenant"),
    "set": ("SET lock_wait_timeout = 12", "SELECT @@lock_wait_timeout"),
    "set local": ("SET LOCAL lock_wait_timeout = 12", "SELECT @@lock_wait_timeout"),
    "sql mode": ("SET sql_mode = ''", "SELECT @@sql_mode"),
    "foreign keys": ("SET foreign_key_checks = 0", "SELECT @@foreign_key_checks"),
    "time zone": ("SET time_zone = '+09:00'", "SELECT @@time_zone"),
    "isolation": ("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SELECT @@tx_isolation"),
    "read only": ("SET SESSION TRANSACTION READ ONLY", "SELECT @@tx_read_only"),
    "names": ("SET NAMES latin1", "SELECT @@character_set_client"),
    "use": ("USE information_schema", "SELECT DATABASE()"),
    "temporary table": (
        "CREATE TEMPORARY TABLE library_counter (id int)",
        "SELECT COUNT(*) FROM (SELECT 1 AS one FROM library_counter LIMIT 1) AS some",
    ),
    "lock": ("SELECT GET_LOCK('mine', 0)", "SELECT IS_USED_LOCK('mine')"),
    "autocommit": ("SET autocommit = 0", "SELECT @@autocommit"),
    "last insert id": ("SELECT LAST_INSERT_ID(77)", "SELECT LAST_INSERT_ID()"),
    "compound": ("BEGIN NOT ATOMIC SET @tenant = 'alpha'; END", "SELECT @tenant"),
    "executable comment": ("SELECT 1 /*M! INTO @tenant */", "SELECT @tenant"),
    "immediate": ("EXECUTE IMMEDIATE 'SET @tenant = 1'", "SELECT @tenant"),
}
STATES = [
    *(
        pytest.param(*state, id=f"postgresql {name}", marks=pytest.mark.postgresql)
        for name, state in POSTGRESQL.items()
    ),
    *(pytest.param(*state, id=f"mysql {name}", marks=pytest.mark.mysql) for name, state in MYSQL.items()),
    *(pytest.param(*state, id=f"sqlite {name}", marks=pytest.mark.sqlite) for name, state in SQLITE.items()),
]


def run_sql(sql):
    with connection.cursor() as sync_cursor:
        sync_cursor.execute(sql)
        return sync_cursor.fetchall()[0][0] if sync_cursor.description else None


async def another(work):
    """Run a coroutine as another owner."""
    return await asyncio.create_task(work)


async def ask(sql):
    """Run SQL in a separate hop."""
    return await database_sync_to_async(run_sql)(sql)


async def in_a_hop(sql):
    await database_sync_to_async(run_sql)(sql)


async def in_a_cursor(sql):
    async with cursor() as cur:
        await cur.execute(sql)


async def in_a_block(sql):
    async with transaction.atomic():
        await Counter.objects.acount()
        await database_sync_to_async(run_sql)(sql)


async def in_a_block_of_djangos(sql):
    def work():
        with django_transaction.atomic():
            run_sql(sql)

    await database_sync_to_async(work)()


async def cancelled_afterwards(sql):
    has_run = asyncio.Event()

    async def work():
        async with cursor() as cur:
            await cur.execute(sql)
            has_run.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await has_run.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


NOT_IN_A_TRANSACTION = ("foreign_keys", "ATTACH")


@pytest.mark.parametrize(
    "way",
    [in_a_hop, in_a_cursor, in_a_block, in_a_block_of_djangos, cancelled_afterwards],
    ids=lambda way: way.__name__,
)
@pytest.mark.parametrize(("change", "look"), STATES)
async def test_the_next_owner_does_not_find_an_owners_changes(pool_with, way, change, look):
    if "block" in way.__name__ and any(word in change for word in NOT_IN_A_TRANSACTION):
        pytest.skip("SQLite does nothing of it in a transaction")
    pool_with(MAX_SIZE=1)
    before = await another(ask(look))

    await another(way(change))

    after = await another(ask(look))
    assert (after or None) == (before or None)  # a custom setting is '' after RESET ALL


@pytest.mark.postgresql
async def test_a_reset_keeps_the_connection(pool_with):
    pool_with(MAX_SIZE=1)
    before = await another(ask("SELECT pg_backend_pid()"))

    await another(in_a_hop("SET statement_timeout = '12s'"))

    assert await another(ask("SELECT pg_backend_pid()")) == before


@pytest.mark.postgresql
async def test_a_session_whose_statements_time_out_is_clean_for_the_next_owner(pool_with):
    pool_with(MAX_SIZE=1)

    async def lock_and_hurry():
        await in_a_hop("SELECT pg_advisory_lock(8)")
        await in_a_hop("SET statement_timeout = 1")

    await another(in_a_hop("SELECT pg_advisory_lock(9)"))
    await another(lock_and_hurry())

    assert await another(ask("SHOW statement_timeout")) == "0"
    assert await another(ask(POSTGRESQL["advisory lock"][1])) == 0


@pytest.mark.postgresql
async def test_a_trigger_that_sets_something_is_known(pool_with):
    pool_with(MAX_SIZE=1)
    await in_a_hop(
        "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM set_config('app.left', 'by a trigger', false); RETURN NEW; END $$"
    )
    await in_a_hop("CREATE TRIGGER leave BEFORE INSERT ON library_counter FOR EACH ROW EXECUTE FUNCTION leave()")
    try:
        await another(Counter.objects.acreate(name="a"))
        assert not await another(ask("SELECT current_setting('app.left', true)"))
    finally:
        await in_a_hop("DROP FUNCTION leave() CASCADE")


@pytest.mark.parametrize("name", ["execute_wrappers", "force_debug_cursor", "attribute", "changed attribute"])
async def test_the_next_owner_does_not_find_attributes_of_djangos_wrapper(pool_with, name):
    pool_with(MAX_SIZE=1)
    seen = []

    def change():
        connection.ensure_connection()
        if name == "execute_wrappers":
            connection.execute_wrappers.append(lambda execute, *args: seen.append(args[0]) or execute(*args))
        elif name == "force_debug_cursor":
            connection.force_debug_cursor = True
        elif name == "attribute":
            connection.tenant = "alpha"
        else:
            connection.ops = object()

    def look():
        run_sql("SELECT 1")
        return (
            len(connection.queries_log),
            connection.force_debug_cursor,
            hasattr(connection, "tenant"),
            type(connection.ops) is object,
        )

    before = await another(database_sync_to_async(look)())
    await another(database_sync_to_async(change)())

    assert await another(database_sync_to_async(look)()) == before
    assert seen == []


@pytest.mark.postgresql
async def test_a_receiver_of_connection_created_is_called_for_each_owner(pool_with):
    """Settings that it takes from the context are the owner's, also where the connection was open before."""
    pool_with(MAX_SIZE=1)
    tenants = iter(["alpha", "beta", None])

    def set_tenant(connection, **_):
        if (tenant := next(tenants)) is not None:
            with connection.cursor() as sync_cursor:
                sync_cursor.execute("SELECT set_config('app.tenant', %s, false)", [tenant])

    await Counter.objects.acount()
    connection_created.connect(set_tenant)
    try:
        found = [await another(ask("SELECT current_setting('app.tenant', true)")) for _ in range(3)]
    finally:
        connection_created.disconnect(set_tenant)

    assert found == ["alpha", "beta", ""]


async def test_untouched_sessions_are_not_reset(many_connections, pool_with, monkeypatch):
    """Django's own statements cost nothing when a lease ends: no round trip, no new connection."""
    pool_with(MAX_SIZE=1)
    cleaned, clean = [], Session.clean
    monkeypatch.setattr(Session, "clean", lambda self: cleaned.append(self._effect) or clean(self))

    counter = await Counter.objects.acreate(name="a")
    counter.name = "b"
    await counter.asave()
    async with transaction.atomic():
        await Counter.objects.select_for_update().aget(pk=counter.pk)
        async with transaction.atomic():
            await Counter.objects.filter(name__icontains="B").aupdate(name="c")
    await Counter.objects.all().adelete()
    assert not any(cleaned)

    await another(ask("CREATE TEMPORARY TABLE scratch (id int)"))
    await Counter.objects.acount()  # on the one connection, when it is clean
    assert any(cleaned)


async def test_many_concurrent_owners_see_their_own_state(many_connections, pool_with):
    pool_with(MAX_SIZE=3)
    vendor = connection.vendor

    async def owner(number):
        if vendor == "postgresql":
            await ask(f"SELECT set_config('app.tenant', '{number}', false)")
            return await ask("SELECT current_setting('app.tenant', true)") == str(number)
        if vendor == "mysql":
            await ask(f"SET @tenant = {number}")
            return await ask("SELECT @tenant") == number
        wanted = number % 2
        if wanted:
            await ask("PRAGMA query_only = ON")
        return await ask("PRAGMA query_only") == wanted

    assert all(await asyncio.gather(*map(owner, range(200))))


# Prepared plans


@pytest.fixture
def alter(pool_with, monkeypatch):
    """Let psycopg prepare every statement at once, and another program alter a table."""
    entry = connections.settings["default"]
    options = {**entry["OPTIONS"], "prepare_threshold": 0, "server_side_binding": True}
    monkeypatch.setitem(connections.settings, "default", {**entry, "OPTIONS": options})
    pool_with(MAX_SIZE=1)
    name = connection.settings_dict["NAME"]
    with psycopg.connect(django_settings.DATABASE_URL, dbname=name, autocommit=True) as program:
        program.execute("CREATE TABLE planned AS SELECT 1 AS a")
        yield lambda: program.execute("ALTER TABLE planned ADD COLUMN b integer")
        reset_pool()
        program.execute("DROP TABLE planned")


@pytest.mark.postgresql
async def test_a_plan_that_an_alter_has_made_stale_is_replaced(alter):
    first = [await ask("SELECT * FROM planned"), await ask("SELECT pg_backend_pid()")]
    alter()

    assert [await ask("SELECT * FROM planned"), await ask("SELECT pg_backend_pid()")] == first


@pytest.mark.postgresql
async def test_a_stale_plan_in_a_transaction_is_an_error_once(alter):
    await ask("SELECT * FROM planned")
    alter()

    with pytest.raises(NotSupportedError):
        async with transaction.atomic():
            await ask("SELECT * FROM planned")
    async with transaction.atomic():
        assert await ask("SELECT * FROM planned") == 1


@pytest.mark.postgresql
async def test_a_stale_plan_of_many_statements_loses_no_row(alter):
    def insert_many():
        with connection.cursor() as sync_cursor:
            sync_cursor.executemany(
                "INSERT INTO planned SELECT p.* FROM planned p WHERE a = %s", ((1,) for _ in range(2))
            )

    await database_sync_to_async(insert_many)()
    before = await ask("SELECT count(*) FROM planned")
    alter()

    try:
        await database_sync_to_async(insert_many)()
    except NotSupportedError:
        expected = before
    else:
        expected = 4 * before
    assert await ask("SELECT count(*) FROM planned") == expected


@pytest.mark.postgresql
async def test_a_session_that_cannot_be_reset_is_closed(pool_with, caplog):
    pool_with(MAX_SIZE=3)

    async def lock_and_lose_the_server():
        request = Ownership("request")
        await in_a_hop("SELECT pg_advisory_lock(8)")
        pid = await ask("SELECT pg_backend_pid()")
        request.leave()
        await another(in_a_hop(f"SELECT pg_terminate_backend({pid}, 5000)"))
        await request.end()
        return pid

    pid = await another(lock_and_lose_the_server())

    assert "could not be reset and is closed" in caplog.text
    assert await another(ask("SELECT pg_backend_pid()")) != pid
    assert await another(ask(POSTGRESQL["advisory lock"][1])) == 0


@pytest.mark.postgresql
async def test_locks_are_released_before_a_connection_is_closed(pool_with):
    """A server needs a while to end a session with many temporary tables, and releases its locks last."""
    pool_with(MAX_SIZE=1)

    async def lock_and_do_something_unknown():
        await in_a_hop("SELECT pg_advisory_lock(8)")
        create = "EXECUTE 'CREATE TEMP TABLE t' || i || ' (id int PRIMARY KEY)'"
        await in_a_hop(f"DO $$ BEGIN FOR i IN 1..300 LOOP {create}; END LOOP; END $$")

    pid = await another(ask("SELECT pg_backend_pid()"))
    await another(lock_and_do_something_unknown())

    assert await another(ask(POSTGRESQL["advisory lock"][1])) == 0
    assert await another(ask("SELECT pg_backend_pid()")) != pid


UNDONE = [
    ["PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON"],
    ["PRAGMA query_only(1)", "PRAGMA query_only(0)"],
    ["CREATE TEMP TABLE scratch (id)", "DROP TABLE temp.scratch"],
]
LEFT = [
    ["PRAGMA foreign_keys = OFF", "PRAGMA recursive_triggers = ON", "PRAGMA foreign_keys = ON"],
    [
        "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA locking_mode = NORMAL",
    ],  # the lock stays
    ["PRAGMA foreign_keys = OFF", "PRAGMA case_sensitive_like = ON", "PRAGMA foreign_keys = ON"],
    ["CREATE TEMP TABLE scratch (id)", "CREATE TEMP TABLE other (id)", "DROP TABLE temp.scratch"],
]


@pytest.mark.sqlite_file
@pytest.mark.parametrize("statements", UNDONE, ids="; ".join)
@pytest.mark.parametrize("in_one_call", [True, False])
async def test_a_change_that_its_owner_has_undone_keeps_no_connection(statements, in_one_call):
    def run_all():
        for sql in statements:
            run_sql(sql)

    if in_one_call:
        await database_sync_to_async(run_all)()
    else:
        for sql in statements:
            await ask(sql)

    assert get_pool().get_stats()["connections_pinned"] == 0


@pytest.mark.sqlite_file
@pytest.mark.parametrize("statements", LEFT, ids="; ".join)
async def test_a_change_that_is_undone_beside_another_keeps_the_connection(statements):
    async def work():
        for sql in statements:
            await ask(sql)
        return get_pool().get_stats()["connections_pinned"]

    assert await another(work()) == 1


@pytest.mark.sqlite_file
async def test_a_pragma_can_be_set_while_another_connection_has_locked_the_file():
    await ask("SELECT 1")
    name = str(connections["default"].settings_dict["NAME"])
    with contextlib.closing(await asyncio.to_thread(sqlite3.connect, name, check_same_thread=False)) as other:
        await asyncio.to_thread(other.execute, "BEGIN EXCLUSIVE")
        try:
            await another(ask("PRAGMA foreign_keys = OFF"))
        finally:
            await asyncio.to_thread(other.rollback)
    assert await ask("PRAGMA foreign_keys") == 1


@pytest.mark.sqlite_memory
def test_tables_that_the_main_task_has_made_in_memory_can_be_read_by_other_tasks():
    output = run_program("""
        from django.core.management import call_command

        settings.DATABASES["default"]["NAME"] = ":memory:"

        async def main():
            await database_sync_to_async(call_command)("migrate", run_syncdb=True, verbosity=0)
            print(await asyncio.create_task(Author.objects.acount()))

        asyncio.run(main())
    """)

    assert output == "0\n"
