"""Code that a PostgreSQL database runs behind plain statements, and the session on which it leaves something."""

import pytest
from django.db import connection, transaction

from daf_orm.databases import postgresql_catalogue
from tests.orm.leases.test_session import another, ask, run_sql

pytestmark = pytest.mark.postgresql

LEAVE = (
    "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN PERFORM set_config('app.left', 'x', false); RETURN NEW; END $$"
)
LEAVES = (
    "CREATE FUNCTION leaves() RETURNS text LANGUAGE plpgsql IMMUTABLE AS "
    "$$ BEGIN PERFORM set_config('app.left', 'x', false); RETURN 'x'; END $$"
)
CODE = {
    "a function": (LEAVES, "leaves()", "DROP FUNCTION leaves"),
    "a built-in function": ("SELECT 1", "set_config('app.left', 'x', false)", "SELECT 1"),
}
AROUND_A_FUNCTION = {
    "check": (
        "CREATE TABLE given (id int CHECK ({} <> ''))",
        "INSERT INTO given VALUES (1)",
        "DROP TABLE given",
    ),
    "domain": (
        "CREATE DOMAIN coded AS int CHECK (VALUE > 0 AND {} <> ''); CREATE TABLE given (id coded)",
        "INSERT INTO given VALUES (1)",
        "DROP TABLE given; DROP DOMAIN coded",
    ),
    "domain in an array": (
        "CREATE DOMAIN coded AS int CHECK (VALUE > 0 AND {} <> ''); CREATE TABLE given (ids coded[])",
        "INSERT INTO given VALUES (array[1])",
        "DROP TABLE given; DROP DOMAIN coded",
    ),
    "domain of a cast": (
        "CREATE DOMAIN coded AS int CHECK (VALUE > 0 AND {} <> '')",
        "SELECT 1::coded",
        "DROP DOMAIN coded",
    ),
    "domain's default": (
        "CREATE DOMAIN coded AS text DEFAULT {}; CREATE TABLE given (id int, code coded)",
        "INSERT INTO given (id) VALUES (1)",
        "DROP TABLE given; DROP DOMAIN coded",
    ),
    "rule": (
        "CREATE TABLE given (id int); CREATE RULE also AS ON INSERT TO given DO ALSO SELECT {}",
        "INSERT INTO given VALUES (1)",
        "DROP TABLE given",
    ),
    "view": ("CREATE VIEW given AS SELECT {} AS it", "SELECT * FROM given", "DROP VIEW given"),
}
TABLES_THAT_RUN_CODE = {
    "index on an expression": (
        f"{LEAVES}; CREATE TABLE given (id int); CREATE INDEX ON given ((id || leaves()))",
        "INSERT INTO given VALUES (1)",
        "DROP TABLE given; DROP FUNCTION leaves",
    ),
    "index with a condition": (
        f"{LEAVES}; CREATE TABLE given (id int); CREATE INDEX ON given (id) WHERE leaves() <> ''",
        "INSERT INTO given VALUES (1)",
        "DROP TABLE given; DROP FUNCTION leaves",
    ),
    "generated column": (
        f"{LEAVES}; CREATE TABLE given (id int, code text GENERATED ALWAYS AS (id || leaves()) STORED)",
        "INSERT INTO given VALUES (1)",
        "DROP TABLE given; DROP FUNCTION leaves",
    ),
    "view of a view": (
        "CREATE VIEW one AS SELECT set_config('app.left', 'x', false) AS x; CREATE VIEW two AS SELECT * FROM one",
        "SELECT * FROM two",
        "DROP VIEW two; DROP VIEW one",
    ),
    "view of a table with a trigger": (
        (
            f"{LEAVE}; CREATE TABLE held (id int); CREATE VIEW seen AS SELECT * FROM held; "
            "CREATE TRIGGER leave BEFORE INSERT ON held FOR EACH ROW EXECUTE FUNCTION leave()"
        ),
        "INSERT INTO seen VALUES (1)",
        "DROP TABLE held CASCADE; DROP FUNCTION leave()",
    ),
    "partition with a trigger": (
        (
            f"{LEAVE}; CREATE TABLE whole (id int) PARTITION BY RANGE (id); "
            "CREATE TABLE part PARTITION OF whole FOR VALUES FROM (0) TO (9); "
            "CREATE TRIGGER leave BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION leave()"
        ),
        "INSERT INTO WHOLE VALUES (1)",
        "DROP TABLE whole; DROP FUNCTION leave()",
    ),
    **{
        f"{name} with {code}": (
            f"{make_code}; {make.format(call)}",
            use,
            f"{drop}; {drop_code}",
        )
        for code, (make_code, call, drop_code) in CODE.items()
        for name, (make, use, drop) in AROUND_A_FUNCTION.items()
    },
    "foreign key that cascades to a table with a trigger": (
        (
            f"{LEAVE}; CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1); "
            "CREATE TABLE child (id int REFERENCES parent ON DELETE CASCADE); INSERT INTO child VALUES (1); "
            "CREATE TRIGGER leave BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION leave()"
        ),
        "DELETE FROM parent WHERE id = 1",
        "DROP TABLE child; DROP TABLE parent; DROP FUNCTION leave()",
    ),
    "table that truncates one with a trigger": (
        (
            f"{LEAVE}; CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES parent); "
            "CREATE TRIGGER leave BEFORE TRUNCATE ON child FOR EACH STATEMENT EXECUTE FUNCTION leave()"
        ),
        "TRUNCATE parent CASCADE",
        "DROP TABLE child; DROP TABLE parent; DROP FUNCTION leave()",
    ),
    "operator": (
        (
            f"{LEAVES}; CREATE FUNCTION both_leave(int, int) RETURNS text LANGUAGE sql AS 'SELECT leaves()'; "
            "CREATE OPERATOR === (FUNCTION = both_leave, LEFTARG = int, RIGHTARG = int)"
        ),
        "SELECT 1 === 2",
        "DROP OPERATOR === (int, int); DROP FUNCTION both_leave; DROP FUNCTION leaves",
    ),
    "cast": (
        (
            f"{LEAVES}; CREATE TYPE boxed AS (it int); CREATE FUNCTION boxes(int) RETURNS boxed LANGUAGE sql AS "
            "'SELECT row(length(leaves()))::boxed'; CREATE CAST (int AS boxed) WITH FUNCTION boxes AS ASSIGNMENT; "
            "CREATE TABLE crates (content boxed)"
        ),
        "INSERT INTO crates VALUES (1)",
        "DROP TABLE crates; DROP TYPE boxed CASCADE; DROP FUNCTION leaves",
    ),
    "column that is a function": (
        (
            f"{LEAVES}; CREATE TABLE plain (id int); INSERT INTO plain VALUES (1); "
            "CREATE FUNCTION noted(plain) RETURNS text LANGUAGE sql AS 'SELECT leaves()'"
        ),
        "SELECT plain.noted FROM plain",
        "DROP TABLE plain CASCADE; DROP FUNCTION leaves",
    ),
    "overload of a harmless function": (
        f"{LEAVES}; CREATE FUNCTION lower(int) RETURNS text LANGUAGE sql AS 'SELECT leaves()'",
        "SELECT lower(1)",
        "DROP FUNCTION lower(int); DROP FUNCTION leaves",
    ),
    "function that calls another": (
        (
            f"{LEAVES}; CREATE FUNCTION outer_leaves() RETURNS text LANGUAGE sql AS 'SELECT public.leaves()'; "
            "CREATE TABLE given (id int, note text DEFAULT outer_leaves())"
        ),
        "INSERT INTO given (id) VALUES (1)",
        "DROP TABLE given; DROP FUNCTION outer_leaves; DROP FUNCTION leaves",
    ),
    "trigger on an event": (
        (
            "CREATE FUNCTION leave() RETURNS event_trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM set_config('app.left', 'x', false); END $$; "
            "CREATE EVENT TRIGGER leave ON ddl_command_start EXECUTE FUNCTION leave()"
        ),
        "CREATE TABLE made (id int)",
        "DROP EVENT TRIGGER leave; DROP TABLE made; DROP FUNCTION leave",
    ),
    "default": (
        "CREATE TABLE given (id int, note text DEFAULT set_config('app.left', 'x', false))",
        "INSERT INTO given (id) VALUES (1)",
        "DROP TABLE given",
    ),
}


@pytest.mark.parametrize("name", TABLES_THAT_RUN_CODE)
async def test_the_code_of_tables_and_views_is_known(pool_with, name):
    pool_with(MAX_SIZE=1)
    make, use, drop = TABLES_THAT_RUN_CODE[name]
    await another(ask(make))
    try:
        await another(ask(use))
        assert not await another(ask("SELECT current_setting('app.left', true)"))
    finally:
        await another(ask(drop))


CLEAN_CODE = {
    "check": "CREATE TABLE given (id int CHECK (id >= 0), note jsonb CHECK (jsonb_typeof(note) = 'object'))",
    "serial column": "CREATE TABLE given (id serial)",
    "default": "CREATE TABLE given (id uuid DEFAULT gen_random_uuid(), at timestamptz DEFAULT now())",
    "generated column": "CREATE TABLE given (a text, b text GENERATED ALWAYS AS (lower(a)) STORED)",
    "index on a function in SQL": (
        "CREATE FUNCTION folded(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lower(trim($1::text)) $$; "
        "CREATE TABLE given (a text); CREATE INDEX ON given (folded(a))"
    ),
    "check of a function in PL/pgSQL": (
        "CREATE FUNCTION folded(a text) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS "
        "$$ BEGIN IF length(a) > 3 THEN RETURN initcap(a) = a; END IF; RETURN true; END $$; "
        "CREATE TABLE given (a text CHECK (folded(a)))"
    ),
    "policy": (
        "CREATE TABLE given (tenant text); "
        "CREATE POLICY own ON given USING (tenant = current_setting('app.tenant', true))"
    ),
    "view": "CREATE VIEW given AS SELECT count(*), jsonb_build_object('a', max(relpages)) FROM pg_class",
    "foreign key": (
        "CREATE TABLE given (id int PRIMARY KEY); CREATE TABLE child (id int REFERENCES given ON DELETE CASCADE)"
    ),
}


@pytest.mark.parametrize("name", CLEAN_CODE)
def test_code_that_only_calculates_keeps_no_connection(name):
    with transaction.atomic():
        run_sql(CLEAN_CODE[name])
        catalogue = postgresql_catalogue.read(connection.connection)
        transaction.set_rollback(True)
    assert "given" not in catalogue.words
    assert catalogue.is_clean("INSERT INTO given VALUES (1)")


def test_plain_tables_are_read_in_one_statement():
    """Django's own tables have no code. Their catalogue costs one statement."""
    asked = []

    class Counting:
        def execute(self, sql, *args):
            asked.append(sql)
            return connection.connection.execute(sql, *args)

    connection.ensure_connection()
    catalogue = postgresql_catalogue.read(Counting())
    assert catalogue.words == frozenset()
    assert not catalogue.has_event_triggers
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("SELECT lower(trim($1))", {"lower", "trim"}),
        ("BEGIN RETURN public.folded ( a ) || 'set_config(1)'; END", {"folded"}),
        ("SELECT set_config('a', 'b', false)", {"set_config"}),
        ("BEGIN PERFORM f(); END", None),
        ("BEGIN EXECUTE 'SET a = b'; END", None),
        ("SELECT * FROM seen", None),
        ("SELECT $1::coded", None),
        ('SELECT "f"(1)', None),
        ("", None),
    ],
)
def test_a_body_is_read_for_the_functions_it_calls(body, expected):
    assert postgresql_catalogue.calls_of(body) == expected
