"""The effect of a statement, before it is sent: too much costs a connection, too little leaks state."""

import gc
import time

import pytest

from daf_orm.databases.base import Database
from daf_orm.databases.mysql import MySQL
from daf_orm.databases.postgresql import PostgreSQL
from daf_orm.databases.sqlite import SQLite
from daf_orm.databases.statements import Effect

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]  # the same on every database

NONE = (
    'SELECT "library_book"."id" FROM "library_book" WHERE "library_book"."title" LIKE %s ORDER BY 1 LIMIT 21',
    'SELECT COUNT(*) AS "__count" FROM "library_book"',
    'INSERT INTO "library_book" ("title", "price") VALUES (%s, %s), (%s, %s) RETURNING "library_book"."id"',
    "insert into book (title) values ('a')",
    'UPDATE "library_book" SET "price" = (COALESCE("library_book"."price", %s) + %s) WHERE "id" IN (%s, %s)',
    'DELETE FROM "library_book" WHERE "id" IN (SELECT U0."id" FROM "library_book" U0)',
    'SELECT ("meta" #> %s) FROM "library_book" FOR UPDATE',
    'SAVEPOINT "s1_x1"',
    "WITH old AS (SELECT 1) SELECT * FROM old",
    "  (SELECT 1) UNION (SELECT 2)",
    "SELECT 1;",
    r"SELECT 1 WHERE a LIKE '%' || REPLACE(REPLACE(b, E'\\', E'\\\\'), E'%', E'\%') || '%'",
    r"SELECT 'a\\', $$\$$",
    'SELECT ANY_VALUE("b"."year") FROM "b" GROUP BY "b"."pages"',
    'EXPLAIN (FORMAT JSON) (SELECT "a" FROM "t") UNION (SELECT "a" FROM "t" WHERE "b" = %s) ORDER BY 1',
    "EXPLAIN ANALYZE (SELECT 1)",
)
RESETTABLE = (
    "SET ROLE app",
    "select set_config('app.tenant', %s, false)",
    "SELECT pg_catalog.set_config('app.tenant', 'a', false)",
    "COPY (SELECT set_config('app.tenant', 'a', false)) TO STDOUT",
    "COPY t (a, b) FROM STDIN WHERE set_config('app.tenant', 'a', false) IS NOT NULL",
    "SET search_path = a, public",
    "SELECT pg_advisory_lock(1)",
    "select  pg_try_advisory_lock (1)",
    "LISTEN channel",
    "CREATE TEMPORARY TABLE t (id int)",
    "SELECT 1 AS a INTO TEMP t",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "SET ROLE app; SELECT set_config('app.tenant', 'a', false)",
    "WITH x AS (SELECT set_config('a.b', 'c', false)) SELECT * FROM x",
    "INSERT INTO t (a) VALUES (nextval('s'))",
)
UNKNOWN = (
    "DO $$ BEGIN PERFORM set_config('a.b', 'c', false); END $$",
    "LOAD 'auto_explain'",
    "PREPARE p AS SELECT 1",
    "CALL anything()",
    "SELECT my_function(1)",
    "SELECT my_schema.set_config('a', 'b', false)",
    "SELECT \"set_config\"('a.b', 'c', false)",
    "SELECT set_config/*!*/('a.b', 'c', false)",
    "SELECT 1 --1",
    "",
    b"SELECT 1",
    None,
    "SELECT 'a;b'; nonsense",
    r"SELECT a FROM b WHERE c LIKE %s ESCAPE '\'",  # a setting says whether that string has ended
    r"SELECT '\\\' , set_config('a.b', 'c', false), '",
)


@pytest.mark.parametrize("sql", NONE)
@pytest.mark.parametrize("grammar", [PostgreSQL.grammar, SQLite.grammar])
def test_a_statement_that_django_compiles_leaves_nothing(grammar, sql):
    assert grammar.effect_of(sql) is Effect.NONE


@pytest.mark.parametrize("sql", RESETTABLE)
def test_a_resettable_statement_is_known(sql):
    assert PostgreSQL.grammar.effect_of(sql) is Effect.RESETTABLE


@pytest.mark.parametrize("sql", UNKNOWN)
def test_a_statement_that_is_not_understood_is_unknown(sql):
    assert Database().effect_of(None, sql) in {Effect.UNKNOWN, Effect.NONE if sql == "" else Effect.UNKNOWN}
    if isinstance(sql, str) and sql:
        assert PostgreSQL.grammar.effect_of(sql) is Effect.UNKNOWN


@pytest.mark.parametrize(
    "sql",
    ["PRAGMA foreign_keys = OFF", "ATTACH 'x' AS y", "CREATE TEMP TABLE t (id)", "SELECT load_extension('x')"],
)
def test_a_statement_with_an_effect_on_sqlite_is_known(sql):
    assert SQLite.grammar.effect_of(sql) is not Effect.NONE


def test_functions_of_sqlite_leave_nothing():
    assert (
        SQLite.grammar.effect_of('SELECT django_date_extract(%s, "a"), json_extract("b", %s) FROM "t"') is Effect.NONE
    )


def test_a_statement_that_django_sends_to_one_database_alone_leaves_nothing():
    for sql in (
        'UPDATE "n" SET "i" = ("n"."i" # %s)',
        "SELECT obj_description(c.oid, 'pg_class') FROM pg_class c WHERE pg_catalog.pg_table_is_visible(c.oid)",
        "SELECT pg_get_expr(adbin, adrelid), col_description(a, 1), array_agg(b), pg_get_indexdef(1) FROM pg_attrdef",
    ):
        assert PostgreSQL.grammar.effect_of(sql) is Effect.NONE
    assert PostgreSQL.grammar.effect_of("EXPLAIN ANALYZE (SELECT set_config('a.b', 'c', false))") is Effect.RESETTABLE
    assert MySQL.grammar.effect_of("EXPLAIN FORMAT=JSON SELECT `a` FROM `t` WHERE `b` = %s") is Effect.NONE
    assert MySQL.grammar.effect_of("SELECT 1 # 'a\n, @a := 1") is Effect.UNKNOWN


def test_a_backslash_of_sqlite_is_a_character():
    assert SQLite.grammar.effect_of(r"""UPDATE "t" SET "a" = %s WHERE "b" LIKE %s ESCAPE '\'""") is Effect.NONE
    assert SQLite.grammar.effect_of(r"SELECT '\', load_extension('x'), '\'") is Effect.UNKNOWN


def test_an_unknown_database_knows_only_common_functions():
    effect_of = Database().grammar.effect_of
    assert effect_of("SELECT COUNT(*), LOWER(`a`) FROM `t` WHERE `id` IN (%s) LIMIT 21") is Effect.NONE
    assert effect_of("INSERT INTO `t` (`a`) VALUES (%s)") is Effect.NONE
    for unknown in ("SELECT GET_LOCK('a', 1)", "SET @tenant = 1", "SELECT @a := 1", "SET NAMES utf8mb4", "USE other"):
        assert effect_of(unknown) is Effect.UNKNOWN


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a ",
        "a.b",
        "$a",
        "(",
        "a(",
        '"',
        '"a" (',
        "INTO ",
        "INTO a.",
        ";",
        "SELECT ",
        "  ",
        "'",
        "(%s), ",
        "\\",
        "\\'",
    ],
)
def test_the_time_is_linear_in_the_length(part):
    def seconds(times):
        sql = "SELECT " + part * times
        gc.disable()  # without the garbage of other tests
        try:
            start = time.thread_time()
            PostgreSQL.grammar.effect_of(sql)
            return time.thread_time() - start
        finally:
            gc.enable()

    short, long = seconds(5_000), seconds(40_000)
    assert long < 0.02 + 32 * max(short, 0.001)


@pytest.mark.parametrize(
    "sql",
    [
        "SET LOCAL app.tenant = 'a'",
        "set local role reader",
        "SET TRANSACTION READ ONLY",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SELECT set_config('app.tenant', %s, true)",
        "SELECT set_config('a(b', 'c, d', TRUE)",
        "CREATE TABLE t (id int DEFAULT 0, note varchar(9))",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $body$ SELECT set_config('a', 'b', false); $body$",
        "CREATE TRIGGER t BEFORE INSERT ON b FOR EACH ROW EXECUTE FUNCTION f()",
        "DROP TABLE t",
        "GRANT ALL ON t TO u",
        "SELECT 'set_config(1); SET x = y' FROM t",
        "SELECT 1 -- set_config(1)",
        "/* SET x = y; */ SELECT '--' FROM t /* traceparent='00-a' */",
    ],
)
def test_a_statement_for_the_transaction_or_the_database_is_not_for_the_session(sql):
    assert PostgreSQL.grammar.effect_of(sql) is Effect.NONE


@pytest.mark.parametrize(
    "sql",
    [
        "SET SESSION app.tenant = 'a'",
        "SELECT set_config('app.tenant', %s, %s)",
        "SELECT set_config('app.tenant', %s, false)",
        "SELECT set_config('a', 'b', true), set_config('c', 'd', false)",
        "SET LOCAL a = 'b'; SET c = 'd'",
        "CREATE TEMP TABLE t (id int)",
        "CREATE LOCAL TEMPORARY VIEW v AS SELECT 1",
        "CREATE TABLE pg_temp.t (id int)",
        "CREATE TABLE t AS SELECT set_config('a', 'b', false)",
        "CREATE INDEX i ON t (f(x))",
        "DO $$ BEGIN PERFORM set_config('a', 'b', false); END $$",
        """SELECT "it's", set_config('a', 'b', false)""",
        "SELECT 'it''s', set_config('a', 'b', false)",
        r"SELECT E'\'', set_config('a', 'b', false), '",
        "SELECT $a$ ' $a$, set_config('a', 'b', false)",
        "SELECT 'open, set_config(1)",
        """SELECT "pg_catalog".set_config('a', 'b', false)""",
        "SELECT éleave()",
        "SELECT 1 AS a$b$, set_config('a', 'b', false) AS c$b$",
        "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1",
        "EXPLAIN (ANALYZE, VERBOSE) SELECT set_config('a', 'b', false)",
        "SELECT st_leave()",
        "CREATE TABLE 'temp'.t (id)",
        "SELECT 1 -- a\n, set_config('a', 'b', false)",
        "SELECT 1 /* a */, set_config('a', 'b', false) /* b */",
        "SELECT 1 /* a /* nested */ , set_config('a', 'b', false) /* */ */",
        "SELECT 1 /*! , set_config('a', 'b', false) */",
        "SELECT 1--1, set_config('a', 'b', false)",
    ],
)
def test_a_statement_for_the_session_is_found(sql):
    assert PostgreSQL.grammar.effect_of(sql) is not Effect.NONE
