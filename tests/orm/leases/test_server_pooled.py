"""``SERVER_POOLED``: a proxy gives each transaction another session of the server. DESIGN §1."""

import asyncio
import contextvars

import psycopg
import psycopg.sql
import pytest
from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connection, connections
from django.db import transaction as django_transaction
from django.db.transaction import TransactionManagementError

from daf_orm import cursor, database_sync_to_async, get_pool, transaction
from daf_orm._pool.process_pool import reset_pool
from daf_orm.databases.server_pooling import Kind, judge
from daf_orm.settings import problems
from tests.project.library.models import Author
from tests.support.servers import pgbouncer, pgbouncer_program

TENANT = "SELECT current_setting('app.tenant', true)"
tenant = contextvars.ContextVar("tenant", default=None)


def settings_now():
    return {"app.tenant": tenant.get()}


def run_sql(sql):
    with connection.cursor() as sync_cursor:
        sync_cursor.execute(sql)
        return sync_cursor.fetchone()[0] if sync_cursor.description else None


def ask(sql):
    return database_sync_to_async(run_sql)(sql)


OF_SESSION = {
    "SET app.tenant = 'a'": "SET app.tenant",
    "set  session search_path to a": "set session search_path",
    "SELECT 1; SET ROLE reader": "SET ROLE",
    "/* tenant */ SET app.tenant = 'a'": "SET app.tenant",
    "RESET ALL": "RESET",
    "DISCARD ALL": "DISCARD",
    "LISTEN news": "LISTEN",
    "PREPARE p AS SELECT 1": "PREPARE p",
    "LOAD 'auto_explain'": "LOAD",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1": "DECLARE",
    "CREATE TEMP TABLE t (a int)": "CREATE TEMP",
    "CREATE LOCAL TEMPORARY TABLE t (a int)": "CREATE LOCAL TEMPORARY",
    "SELECT pg_advisory_lock(1)": "pg_advisory_lock",
    "SELECT pg_try_advisory_lock_shared (1)": "pg_try_advisory_lock_shared",
    "SELECT set_config('app.tenant', 'a', false)": "set_config",
    "SELECT set_config('app.tenant', %s, %s)": "set_config",
    "SELECT setseed(0.5)": "setseed",
    'SELECT "set_config"(%s, %s, false)': "set_config",
    "SELECT set_config('app.tenant', (SELECT max(name) FROM t), false)": "set_config",
    "CREATE OR REPLACE TEMP VIEW v AS SELECT 1": "CREATE OR REPLACE TEMP",
    "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1": "CREATE TEMP",
    "CREATE TABLE pg_temp.t (a int)": "pg_temp",
    "SELECT 1 AS a INTO TEMP t": "INTO TEMP",
    "DO $$ BEGIN SET app.tenant = 'a'; END $$": "SET app.tenant",
    "DO $$ BEGIN PERFORM set_config('app.tenant', 'a', false); END $$": "set_config",
    r"SET app.tenant TO 'a\b'": "SET app.tenant",
}
OF_TRANSACTION = [
    "SELECT 1",
    "SET LOCAL app.tenant = 'a'",
    "SET TRANSACTION READ ONLY",
    "SET CONSTRAINTS ALL DEFERRED",
    "SELECT set_config('app.tenant', 'a', true)",
    "SELECT pg_advisory_xact_lock(1)",
    "PREPARE TRANSACTION 'x'",
    "DECLARE c CURSOR FOR SELECT 1",
    "CREATE TEMP TABLE t (a int) ON COMMIT DROP",
    "UPDATE library_author SET name = 'SET ROLE a'",
    "INSERT INTO t VALUES ('; LISTEN a')",
    "SELECT unheard_of(1)",
    "SELECT reset FROM settings",
    "SELECT set_config('a', %(a)s, true), set_config('b', lower(%s), true::boolean)",
    "SELECT set_config('a', 'b', is_local => true)",
    "SAVEPOINT a",
    "ROLLBACK TO SAVEPOINT a",
    r"SELECT * FROM t WHERE a LIKE '\%'",
    "DO $$ BEGIN SET LOCAL app.tenant = 'a'; END $$",
]
AMONG_OTHERS = [
    "BEGIN; SELECT 1; COMMIT",
    "SELECT 1; commit; SELECT 2",
    "ROLLBACK; SELECT 1",
    r"SELECT '\'; COMMIT; SELECT 1",
]


@pytest.mark.no_database
@pytest.mark.parametrize(("sql", "words"), OF_SESSION.items())
def test_a_statement_that_needs_a_session_is_recognised(sql, words):
    assert judge(sql).problem == f"{words} sets something on the session of {{alias!r}}"


@pytest.mark.no_database
@pytest.mark.parametrize("sql", OF_TRANSACTION)
def test_a_setting_that_ends_with_its_transaction_is_let_through(sql):
    assert judge(sql).problem == ""


@pytest.mark.no_database
@pytest.mark.parametrize("sql", AMONG_OTHERS)
def test_no_transaction_begins_or_ends_among_other_statements(sql):
    assert "is sent together with other statements" in judge(sql).problem


@pytest.mark.no_database
@pytest.mark.parametrize("sql", ["BEGIN", "/* app */ BEGIN", "commit and chain", "ROLLBACK", "START TRANSACTION;"])
def test_a_statement_that_begins_or_ends_a_transaction_is_sent_unchanged(sql):
    assert judge(sql) == (Kind.CONTROL, "")


@pytest.mark.no_database
@pytest.mark.parametrize(
    "sql", ["VACUUM", "SET TRANSACTION READ ONLY", "CREATE INDEX CONCURRENTLY a ON t (a)", "REINDEX INDEX a"]
)
def test_a_statement_that_no_setting_may_precede_is_sent_unchanged(sql):
    assert judge(sql) == (Kind.PLAIN, "")


@pytest.mark.no_database
def test_an_owner_cannot_keep_a_connection_that_leads_elsewhere_each_time():
    (problem,) = problems({"SERVER_POOLED": True, "POOL_MODE": "session"})

    assert "POOL_MODE" in problem
    assert "SERVER_POOLED" in problem


@pytest.mark.postgresql
@pytest.mark.parametrize("sql", ["SET app.tenant = 'a'", "SELECT pg_advisory_lock(1)", "CREATE TEMP TABLE t (a int)"])
async def test_session_state_is_an_error_that_names_the_words_and_the_remedy(pool_with, sql):
    pool_with(MAX_SIZE=2, SERVER_POOLED=True)

    with pytest.raises(InterfaceError, match=r"(?s)session of 'default'.*SERVER_POOLED.*SET LOCAL"):
        await ask(sql)
    with pytest.raises(InterfaceError, match="SERVER_POOLED"):
        async with cursor() as async_cursor:
            await async_cursor.execute(sql)

    assert await ask("SELECT 1") == 1


@pytest.mark.postgresql
async def test_nothing_is_pinned_and_nothing_is_reset(pool_with):
    pool = pool_with(MAX_SIZE=1, SERVER_POOLED=True)

    async def request():
        await ask("SELECT pg_sleep(0) /* not understood */")
        return await ask("SELECT pg_backend_pid()"), pool.get_stats()["connections_pinned"]

    assert len({await asyncio.create_task(request()) for _ in range(3)}) == 1


@pytest.mark.postgresql
async def test_configured_settings_hold_for_each_transaction_and_no_longer(pool_with):
    pool_with(MAX_SIZE=2, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    left = []

    def look_at_the_session():
        with connection.cursor():
            left.append(connection.connection.execute(TENANT).fetchone()[0] or None)
        return run_sql(TENANT)

    async def request(name):
        tenant.set(name)
        found = [
            await ask(TENANT),
            await sync_to_async(run_sql)(TENANT),
            await database_sync_to_async(look_at_the_session)(),
        ]
        async with transaction.atomic():
            async with transaction.atomic():
                found.append(await ask(TENANT))
            found.append(await ask(TENANT))
        async with cursor() as async_cursor:
            await async_cursor.execute(TENANT)
            found += await async_cursor.fetchone()
        found += [await database_sync_to_async(in_a_block)(), await Author.objects.acount()]
        return found == [name] * 7 + [0]

    def in_a_block():
        with django_transaction.atomic():
            return run_sql(TENANT)

    names = [f"t{number}" for number in range(20)]
    assert all(await asyncio.gather(*(asyncio.create_task(request(name)) for name in names)))
    assert set(left) == {None}
    assert get_pool().get_stats()["connections_pinned"] == 0


@pytest.mark.postgresql
async def test_configured_settings_survive_a_savepoint_that_is_rolled_back(pool_with):
    pool_with(MAX_SIZE=1, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    tenant.set("alpha")

    async with transaction.atomic():
        with pytest.raises(DatabaseError):
            async with transaction.atomic():
                await ask("SELECT 1 / 0")
        assert await ask(TENANT) == "alpha"

    with pytest.raises(DatabaseError):
        await ask("SELECT 1 / 0")
    assert await ask(TENANT) == "alpha"


@pytest.mark.postgresql
async def test_configured_settings_hold_in_a_transaction_begun_by_hand(pool_with):
    pool_with(MAX_SIZE=1, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    tenant.set("alpha")

    def by_hand():
        run_sql("BEGIN")
        found = run_sql(TENANT)
        run_sql("COMMIT")
        return found

    assert await database_sync_to_async(by_hand)() == "alpha"


@pytest.mark.postgresql
@pytest.mark.parametrize("end", ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN"])
async def test_configured_settings_hold_in_a_chained_transaction(pool_with, end):
    pool_with(MAX_SIZE=1, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    tenant.set("alpha")

    def by_hand():
        run_sql("/* by hand */ BEGIN")
        run_sql(end)
        found = run_sql(TENANT)
        run_sql("COMMIT")
        return found

    assert await database_sync_to_async(by_hand)() == "alpha"


@pytest.mark.postgresql
async def test_configured_settings_hold_after_a_transaction_that_django_has_not_begun(pool_with):
    pool_with(MAX_SIZE=1, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    tenant.set("alpha")

    def twice():
        found = []
        for _ in range(2):
            with django_transaction.atomic():
                connection.ensure_connection()
                connection.connection.execute("SELECT 1")
                found.append(run_sql(TENANT))
        return found

    assert await database_sync_to_async(twice)() == ["alpha", "alpha"]


@pytest.mark.postgresql
async def test_settings_that_the_driver_itself_would_make_are_refused_too(pool_with):
    pool_with(MAX_SIZE=1, SERVER_POOLED=True)

    def by(take):
        def send():
            connection.ensure_connection()
            take().execute("SET lock_timeout = '5s'")

        return database_sync_to_async(send)()

    for take in (lambda: connection.connection, lambda: connection.connection.cursor()):
        with pytest.raises(InterfaceError, match="SERVER_POOLED"):
            await by(take)


@pytest.mark.postgresql
async def test_statements_of_psycopgs_own_and_isolation_levels_are_understood(pool_with):
    pool_with(MAX_SIZE=1, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    tenant.set("alpha")

    with pytest.raises(InterfaceError, match=r"SET app\.tenant sets something"):
        await ask(psycopg.sql.SQL("SET {} TO 'b'").format(psycopg.sql.SQL("app.tenant")))
    assert await ask(psycopg.sql.SQL(TENANT)) == "alpha"
    async with transaction.atomic():
        await ask("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        assert [await ask("SHOW transaction_isolation"), await ask(TENANT)] == ["serializable", "alpha"]


@pytest.mark.postgresql
@pytest.mark.parametrize("server_pooled", [True, False])
async def test_a_hop_that_changes_its_tenant_has_the_new_one_from_then_on(pool_with, server_pooled):
    pool_with(MAX_SIZE=1, SERVER_POOLED=server_pooled, CONFIGURE=f"{__name__}.settings_now")

    def each():
        found = []
        for name in ("alpha", "beta"):
            tenant.set(name)
            found.append(run_sql(TENANT))
            tenant.set(f"{name} in a block")
            with django_transaction.atomic():
                found.append(run_sql(TENANT))
        return found

    expected = ["alpha", "alpha in a block", "beta", "beta in a block"]
    assert await database_sync_to_async(each)() == expected
    assert await sync_to_async(each)() == expected


@pytest.mark.postgresql
async def test_configured_settings_do_not_change_inside_a_block(pool_with):
    pool_with(MAX_SIZE=1, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    tenant.set("alpha")

    with pytest.raises(TransactionManagementError, match=r"(?s)CONFIGURE.*app\.tenant"):
        async with transaction.atomic():
            await ask(TENANT)
            tenant.set("beta")
            await ask(TENANT)

    assert await ask(TENANT) == "beta"


@pytest.mark.postgresql
async def test_rows_are_copied_with_the_settings_or_not_at_all(pool_with):
    pool_with(MAX_SIZE=1, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    tenant.set("alpha")
    sql = f"COPY ({TENANT}) TO STDOUT"

    async def copied():
        async with cursor() as async_cursor, async_cursor.copy(sql) as copy:
            return b"".join([bytes(data) async for data in copy])

    with pytest.raises(InterfaceError, match="COPY"):
        await copied()
    async with transaction.atomic():
        assert await copied() == b"alpha\n"


@pytest.mark.postgresql
async def test_large_results_come_without_a_cursor_of_the_servers(pool_with):
    pool_with(MAX_SIZE=1, SERVER_POOLED=True)
    await Author.objects.abulk_create(Author(name=str(number)) for number in range(5))

    assert [author.name async for author in Author.objects.order_by("pk").aiterator(chunk_size=2)] == list("01234")
    assert await database_sync_to_async(lambda: connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"])()


@pytest.fixture
def proxy(transactional_db):
    if pgbouncer_program() is None:
        pytest.skip("PgBouncer is not installed")
    to = connection.settings_dict
    with pgbouncer(f"postgresql://{to['USER']}@{to['HOST']}:{to['PORT']}/{to['NAME']}", sessions=2) as port:
        yield port
        reset_pool()


@pytest.mark.postgresql
async def test_tenants_behind_pgbouncer_never_see_each_other(proxy, pool_with, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "PORT", str(proxy))
    pool_with(MAX_SIZE=10, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    sessions = set()

    async def request(name):
        tenant.set(name)
        async with transaction.atomic():
            await Author.objects.acreate(name=name)
            inside = await ask(TENANT)
        sessions.add(await ask("SELECT pg_backend_pid()"))
        return {inside, await ask(TENANT), (await Author.objects.aget(name=name)).name} == {name}

    names = [f"t{number}" for number in range(200)]
    assert all(await asyncio.gather(*(asyncio.create_task(request(name)) for name in names)))
    assert 1 <= len(sessions) <= 2
    with psycopg.connect(
        host="127.0.0.1", port=proxy, user="postgres", dbname=connection.settings_dict["NAME"]
    ) as behind:
        assert not behind.execute(TENANT).fetchone()[0]


@pytest.mark.postgresql
async def test_a_string_that_ends_transactions_is_refused_only_where_settings_would_be_lost(pool_with):
    tenant.set("alpha")
    pool_with(MAX_SIZE=1, SERVER_POOLED=True)
    await ask("BEGIN; SELECT 1; COMMIT")

    pool_with(MAX_SIZE=1, SERVER_POOLED=True, CONFIGURE=f"{__name__}.settings_now")
    with pytest.raises(InterfaceError, match="BEGIN is sent together with other statements to 'default'"):
        await ask("BEGIN; SELECT 1; COMMIT")
