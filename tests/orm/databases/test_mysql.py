"""MySQL and MariaDB: session state, facts that drivers do not tell, and statements stopped by a second connection."""

import asyncio
import socket
from contextlib import suppress

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.db import IntegrityError, OperationalError, ProgrammingError, connection
from django.db import transaction as django_transaction
from django.db.transaction import TransactionManagementError

from daf_orm import cursor, database_sync_to_async, transaction
from daf_orm._pool.process_pool import reset_pool
from daf_orm.databases import database_of
from daf_orm.databases.mysql import MySQL
from daf_orm.databases.statements import Effect
from tests.orm.leases.test_owners import in_a_request
from tests.orm.leases.test_session import another, ask, run_sql
from tests.project.library.models import Author, Counter
from tests.support.administration import administrator

pytestmark = pytest.mark.mysql
NUMBER = "SELECT CONNECTION_ID()"

NONE = (
    "SELECT `library_book`.`id` FROM `library_book` WHERE `library_book`.`title` LIKE %s ORDER BY 1 LIMIT 21",
    "INSERT INTO `library_book` (`title`, `price`) VALUES (%s, %s) ON DUPLICATE KEY UPDATE `title` = VALUES(`title`)",
    "INSERT INTO `library_book` (`title`) VALUES (%s) RETURNING `library_book`.`id`",
    "UPDATE `library_book` SET `price` = (COALESCE(`library_book`.`price`, %s) + %s) WHERE `id` IN (%s, %s)",
    "SELECT CAST(DATE_FORMAT(`t`.`at`, '%%Y-%%m-01') AS DATE) FROM `t` GROUP BY 1",
    "SELECT JSON_UNQUOTE(JSON_EXTRACT(`data`, %s)) FROM `t` FOR UPDATE SKIP LOCKED",
    "REPLACE INTO t (a) VALUES (1)",
    "SAVEPOINT `s1_x1`",
    "SHOW FULL TABLES",
    "SELECT `id` FROM `t` FORCE INDEX (`one`) WHERE MATCH (`title`) AGAINST (%s IN BOOLEAN MODE)",
    "CREATE TABLE `t` (`id` bigint(20) NOT NULL, `at` datetime(6), `kind` enum('a', 'b'))",
    "SELECT @@version, @tenant",
)
RESETTABLE = (
    "SET @tenant = %s",
    "set session transaction isolation level serializable",
    "SET TRANSACTION READ ONLY",
    "SET LOCAL sql_mode = ''",
    "USE other",
    "LOCK TABLES t WRITE",
    "SELECT GET_LOCK('a', 1)",
    "SELECT LAST_INSERT_ID(5)",
    "CREATE TEMPORARY TABLE t (id int)",
    "SELECT 1 INTO @a",
    "PREPARE p FROM 'SELECT 1'",
    "FLUSH TABLES WITH READ LOCK",
)
UNKNOWN = (
    "CALL anything()",
    "EXECUTE p",
    "EXECUTE IMMEDIATE 'SET @a = 1'",
    "SELECT my_function(1)",
    "SELECT `my_function`(1)",
    "SELECT @a := 1",
    "SELECT 1 /*! INTO @a */",
    "SELECT 1 /*M!100100 INTO @a */",
    "SELECT 1 # SELECT 2",
    "XA START 'x'",
    "IF 1 THEN SET @a = 1; END IF",
)


@pytest.mark.parametrize(
    ("sql", "effect"),
    [
        *((sql, Effect.NONE) for sql in NONE),
        *((sql, Effect.RESETTABLE) for sql in RESETTABLE),
        *((sql, Effect.UNKNOWN) for sql in UNKNOWN),
    ],
)
def test_the_effect_of_a_statement(sql, effect):
    assert MySQL.grammar.effect_of(sql) is effect


@pytest.mark.parametrize("sql", ["BEGIN NOT ATOMIC SET @a = 1; END", "SET STATEMENT sql_mode = '' FOR CALL p()"])
def test_the_effect_of_a_compound_statement_is_unknown(sql):
    connection.ensure_connection()
    assert database_of(connection).effect_of(connection, sql) is Effect.UNKNOWN


# A session


async def test_a_reset_keeps_the_connection_and_gives_it_djangos_state_again(pool_with):
    pool_with(MAX_SIZE=1)
    look = "SELECT CONCAT_WS(' ', @@tx_isolation, @@autocommit, @@character_set_client, @@sql_mode, DATABASE())"
    number, before = await another(ask(NUMBER)), await another(ask(look))

    await another(ask("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
    await another(ask("USE information_schema"))

    assert (await another(ask(NUMBER)), await another(ask(look))) == (number, before)


async def test_a_prepared_statement_is_gone(pool_with):
    pool_with(MAX_SIZE=1)
    await another(ask("PREPARE kept FROM 'SELECT 1'"))

    with pytest.raises(OperationalError, match="kept"):
        await another(ask("EXECUTE kept"))


async def test_locked_tables_are_unlocked(pool_with):
    pool_with(MAX_SIZE=2)
    await another(ask("LOCK TABLES library_counter WRITE"))

    async with asyncio.timeout(10):
        await Counter.objects.acreate(name="a")


async def test_a_procedure_leaves_nothing(pool_with):
    pool_with(MAX_SIZE=1)
    await make_procedure("SET @tenant = 'alpha'")

    await another(ask("CALL made()"))
    assert await another(ask("SELECT @tenant")) is None
    await another(database_sync_to_async(call_procedure)())
    assert await another(ask("SELECT @tenant")) is None


async def make_procedure(body):
    await another(ask(f"CREATE OR REPLACE PROCEDURE made() BEGIN {body}; END"))


def call_procedure():
    with connection.cursor() as sync_cursor:
        sync_cursor.callproc("made")


async def test_a_trigger_that_sets_something_is_known(pool_with):
    pool = pool_with(MAX_SIZE=1)
    await another(ask("CREATE TRIGGER leave_it BEFORE INSERT ON library_counter FOR EACH ROW SET @left = 'x'"))
    await another(
        ask("CREATE TRIGGER harmless BEFORE INSERT ON library_author FOR EACH ROW SET NEW.email = UPPER('a')")
    )
    try:
        await another(Counter.objects.acreate(name="a"))
        assert await another(ask("SELECT @left")) is None
        await sync_to_async(Author.objects.create)(name="a")
        assert pool.get_stats()["connections_pinned"] == 0
        assert (await Author.objects.aget()).email == "A"
    finally:
        await another(ask("DROP TRIGGER leave_it"))
        await another(ask("DROP TRIGGER harmless"))


async def test_a_trigger_that_writes_to_a_table_with_a_trigger_is_known(pool_with):
    pool_with(MAX_SIZE=1)
    for sql in (
        *("CREATE TABLE first (id int)", "CREATE TABLE second (id int)", "CREATE TABLE third (id int)"),
        "CREATE TRIGGER leaving BEFORE INSERT ON third FOR EACH ROW SET @left = 1",
        "CREATE TRIGGER on_second BEFORE INSERT ON second FOR EACH ROW INSERT INTO third VALUES (1)",
        "CREATE TRIGGER on_first BEFORE INSERT ON first FOR EACH ROW INSERT INTO second VALUES (1)",
    ):
        await another(ask(sql))
    try:
        await another(ask("INSERT INTO first VALUES (1)"))
        assert await another(ask("SELECT @left")) is None
    finally:
        await another(ask("DROP TABLE first, second, third"))


async def test_a_default_that_assigns_is_known(pool_with):
    pool_with(MAX_SIZE=1)
    with suppress(OperationalError, ProgrammingError):  # MySQL refuses it
        await another(ask("CREATE TABLE given (id int, x int DEFAULT (@left := 1))"))
        try:
            await another(ask("INSERT INTO given (id) VALUES (1)"))
            assert await another(ask("SELECT @left")) is None
        finally:
            await another(ask("DROP TABLE given"))


async def test_a_view_that_calls_a_function_is_known(pool_with):
    pool_with(MAX_SIZE=1)
    await another(ask("CREATE FUNCTION leaving() RETURNS INT BEGIN SET @left = 1; RETURN 1; END"))
    await another(ask("CREATE VIEW one AS SELECT leaving() AS x"))
    await another(ask("CREATE VIEW two AS SELECT * FROM one"))
    try:
        await another(ask("SELECT * FROM two"))
        assert await another(ask("SELECT @left")) is None
    finally:
        for drop in ("VIEW two", "VIEW one", "FUNCTION leaving"):
            await another(ask(f"DROP {drop}"))


# A transaction that was left open


def begin_by_hand():
    run_sql("START TRANSACTION")
    run_sql("INSERT INTO library_author (name, email) VALUES ('left', '')")


def switch_autocommit_off():
    run_sql("SET autocommit = 0")
    run_sql("INSERT INTO library_author (name, email) VALUES ('left', '')")


def begin_by_chaining():
    run_sql("COMMIT AND CHAIN")
    run_sql("SELECT 1")
    run_sql("INSERT INTO library_author (name, email) VALUES ('left', '')")


def begin_in_several():
    with connection.cursor() as sync_cursor:
        sync_cursor.execute("SELECT 1; START TRANSACTION")
        sync_cursor.nextset()
    run_sql("INSERT INTO library_author (name, email) VALUES ('left', '')")


HALF = (
    "START TRANSACTION; INSERT INTO library_author (name, email) VALUES ('left', ''); "
    "INSERT INTO library_missing VALUES (1); COMMIT"
)


UNNOTICED = "SET autocommit = 0; INSERT INTO library_missing VALUES (1)"


@pytest.mark.parametrize("next_one", [another, lambda work: work], ids=["another owner", "the same owner"])
@pytest.mark.parametrize(
    ("leave", "body"),
    [
        (begin_by_hand, ""),
        (switch_autocommit_off, ""),
        (begin_by_chaining, ""),
        (begin_in_several, ""),
        (call_procedure, HALF),
        (lambda: run_sql("CALL made()"), UNNOTICED),
    ],
)
async def test_a_transaction_left_open_is_rolled_back_and_reported(pool_with, caplog, leave, body, next_one):
    pool_with(MAX_SIZE=1)
    if body:
        await make_procedure(body)

    with suppress(ProgrammingError):  # the procedure's
        await next_one(database_sync_to_async(leave)())
    for _ in range(3):
        await next_one(Author.objects.acreate(name="kept"))
    reset_pool()  # uncommitted rows are lost now

    assert [author.name async for author in Author.objects.all()] == ["kept"] * 3
    assert "A transaction was left open" in caplog.text


async def test_a_transaction_that_is_ended_by_hand_is_not_reported(pool_with, caplog):
    pool_with(MAX_SIZE=1)
    number = await another(ask(NUMBER))

    def work():
        begin_by_hand()
        run_sql("COMMIT")

    await another(database_sync_to_async(work)())

    assert await Author.objects.acount() == 1
    assert await another(ask(NUMBER)) == number
    assert caplog.text == ""


INSERT = "INSERT INTO library_author (name, email) VALUES ('by hand', '')"


@pytest.mark.parametrize(("end", "rows"), [("COMMIT", 1), ("ROLLBACK", 0), ("SELECT 1", 0)])
@pytest.mark.parametrize("begin", ["START TRANSACTION", "SET autocommit = 0"])
async def test_a_transaction_by_hand_spans_the_hops_of_a_request_and_no_more(pool_with, begin, end, rows):
    pool_with(MAX_SIZE=2)

    async def request():
        for sql in (begin, INSERT, end):
            await sync_to_async(run_sql)(sql)

    await in_a_request(request)

    assert await another(Author.objects.acount()) == rows
    await another(Author.objects.acreate(name="kept"))
    reset_pool()
    assert await another(Author.objects.filter(name="kept").acount()) == 1


async def test_code_that_changes_autocommit_the_way_django_does_pins_no_transaction(pool_with, caplog):
    pool_with(MAX_SIZE=1)

    def work():
        django_transaction.set_autocommit(False)
        Author.objects.create(name="kept")
        django_transaction.commit()
        django_transaction.set_autocommit(True)

    await another(database_sync_to_async(work)())
    assert await another(Author.objects.acount()) == 1
    assert caplog.text == ""


async def test_a_deadlock_that_is_caught_ends_its_block_with_a_rollback(pool_with):
    pool_with(MAX_SIZE=2)
    await Counter.objects.abulk_create([Counter(name="a"), Counter(name="b")])
    both_have_one = asyncio.Barrier(2)
    caught = []

    async def take(first, second):
        async with transaction.atomic():
            await Counter.objects.filter(name=first).aupdate(value=1)
            await both_have_one.wait()
            try:
                await Counter.objects.filter(name=second).aupdate(value=1)
            except OperationalError as error:
                caught.append(error.args[0])
                await Counter.objects.acreate(name="the second half")

    found = await asyncio.gather(another(take("a", "b")), another(take("b", "a")), return_exceptions=True)

    assert caught == [1213]
    assert sorted(type(each) for each in found if each is not None) == [TransactionManagementError]
    assert await Counter.objects.acount() == 2


async def test_a_violation_that_is_caught_in_a_nested_block_leaves_the_outer_one_alone(pool_with):
    pool_with(MAX_SIZE=1)
    async with transaction.atomic():
        await Counter.objects.acreate(name="a")
        with pytest.raises(IntegrityError):
            async with transaction.atomic():
                await Counter.objects.acreate(name="a")

    assert await Counter.objects.acount() == 1


# A second connection


async def test_the_server_no_longer_runs_a_statement_that_was_cancelled(pool_with):
    pool_with(MAX_SIZE=2)
    with administrator(django_settings.DATABASE_URL) as session:
        for work in (another(ask(session.slow)), in_a_cursor(session.slow), in_a_block(session.slow)):
            task = asyncio.create_task(work)
            await session.until_sleeping(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await session.on_thread(session.sleeping, connection.settings_dict["NAME"]) == [(0,)]


async def in_a_cursor(sql):
    async with cursor() as cur:
        await cur.execute(sql)


async def in_a_block(sql):
    async with transaction.atomic():
        await ask(sql)


async def test_a_write_that_times_out_is_stopped_and_rolled_back(pool_with):
    pool_with(MAX_SIZE=1)
    await Author.objects.abulk_create([Author(name="old") for _ in range(50)])

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ask("UPDATE library_author SET name = 'new' WHERE SLEEP(0.02) = 0")

    assert await Author.objects.filter(name="new").acount() == 0


async def test_a_connection_that_died_under_code_that_hides_it_is_replaced(pool_with):
    pool_with(MAX_SIZE=1)

    def work():
        number = run_sql(NUMBER)
        with administrator(django_settings.DATABASE_URL) as session:
            session.end(number)
        with suppress(Exception):
            while True:
                connection.connection.query("DO 1")

    await another(database_sync_to_async(work)())

    assert await another(Author.objects.acount()) == 0


async def test_a_connection_has_tcp_notice_a_server_that_vanishes():
    def look():
        connection.ensure_connection()
        with socket.socket(fileno=socket.dup(database_of(connection).socket_of(connection.connection))) as copy:
            return copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), copy.getsockopt(
                socket.IPPROTO_TCP, socket.TCP_KEEPIDLE
            )

    assert await database_sync_to_async(look)() == (1, 30)


async def test_a_closed_connection_has_no_socket():
    def look():
        connection.ensure_connection()
        database, driver_connection = database_of(connection), connection.connection
        before = database.socket_of(driver_connection)
        driver_connection.close()
        with socket.socket() as another_one:  # may have its number
            return before, another_one.fileno(), database.socket_of(driver_connection)

    before, _, after = await database_sync_to_async(look)()
    assert before >= 0
    assert after == -1
