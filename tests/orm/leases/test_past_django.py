"""Changes that code makes on the driver's own connection are its owner's, too. DESIGN §1, invariant 3."""

import asyncio
import gc
import sqlite3
import sys
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from django.db import InterfaceError, connection, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.sqlite3 import base as sqlite_backend
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLiteWrapper
from psycopg.types.string import TextLoader
from psycopg_pool import ConnectionPool

from daf_orm import database_sync_to_async, get_pool, pinned, transaction
from daf_orm._leases.past_django import watch_connection, watch_cursor
from tests.project.library.models import Counter

pytestmark = pytest.mark.usefixtures("many_connections")


def run_sql(sql):
    with connection.cursor() as sync_cursor:
        sync_cursor.execute(sql)
        return sync_cursor.fetchall()[0][0] if sync_cursor.description else None


def drivers_own():
    connection.ensure_connection()
    return connection.connection


def by_raw_cursor(sql):
    with connection.cursor() as sync_cursor:
        raw = sync_cursor.cursor
        getattr(raw, "cursor", raw).execute(sql)  # MySQL's has another one inside


def by_cursor_of_the_drivers(sql):
    cursor = drivers_own().cursor()
    cursor.execute(sql)
    cursor.close()


SENT_BY = {
    "cursor": by_cursor_of_the_drivers,
    "a cursor's own": by_raw_cursor,
    "connection": lambda sql: drivers_own().execute(sql),
    "a cursor's connection": lambda sql: connection.cursor().connection.cursor().execute(sql),
}
STATES = {
    "postgresql": ("SET lock_timeout = '5s'", "SHOW lock_timeout"),
    "sqlite": ("PRAGMA recursive_triggers = ON", "PRAGMA recursive_triggers"),
    "mysql": ("SET @tenant = 'alpha'", "SELECT @tenant"),
}


async def another(work):
    """Run a coroutine as another owner."""
    return await asyncio.create_task(work)


async def left_to(look, change):
    """Let one owner change something. Return its value before, its value then, and the next owner's value."""
    looking, changing = database_sync_to_async(look), database_sync_to_async(change)

    async def owner():
        before = await looking()
        await changing()
        await Counter.objects.acount()
        return before, await looking()

    before, after = await another(owner())
    return before, after, await another(looking())


@pytest.mark.parametrize("sent_by", SENT_BY)
async def test_sql_sent_by_the_driver_is_its_owners_and_no_others(pool_with, sent_by):
    if sent_by == "connection" and connection.vendor == "mysql":
        pytest.skip("its connections execute nothing")
    pool_with(MAX_SIZE=1)
    change, question = STATES[connection.vendor]

    before, after, others = await left_to(lambda: run_sql(question), lambda: SENT_BY[sent_by](change))

    assert after != before
    assert others == before


def set_attribute(name, value):
    def change():
        setattr(drivers_own(), name, value)

    return change


def register_loader():
    drivers_own().adapters.register_loader("int4", TextLoader)


def register_hstore():
    from psycopg.types import TypeInfo  # noqa: PLC0415
    from psycopg.types.hstore import register_hstore  # noqa: PLC0415

    register_hstore(TypeInfo("hstore", 999_999, 999_998), drivers_own())


def attribute(name):
    return lambda: getattr(drivers_own(), name, None)


OF_POSTGRESQL = {
    "row_factory": (attribute("row_factory"), set_attribute("row_factory", lambda _: tuple)),
    "read_only": (attribute("read_only"), set_attribute("read_only", value=True)),
    "deferrable": (attribute("deferrable"), set_attribute("deferrable", value=True)),
    "prepare_threshold": (attribute("prepare_threshold"), set_attribute("prepare_threshold", 3)),
    "autocommit": (attribute("autocommit"), set_attribute("autocommit", value=False)),
    "an attribute": (attribute("tenant"), set_attribute("tenant", "alpha")),
    "notices": (
        lambda: len(vars(drivers_own())["_notice_handlers"]),
        lambda: drivers_own().add_notice_handler(print),
    ),
    "notifications": (
        lambda: len(vars(drivers_own())["_notify_handlers"]),
        lambda: drivers_own().add_notify_handler(print),
    ),
    "a loader": (lambda: run_sql("SELECT 1"), register_loader),
}


@pytest.mark.postgresql
@pytest.mark.parametrize("kind", OF_POSTGRESQL)
async def test_the_next_owner_does_not_find_settings_of_psycopgs_connection(pool_with, kind):
    pool_with(MAX_SIZE=1)

    before, after, others = await left_to(*OF_POSTGRESQL[kind])

    assert after != before
    assert others == before


async def has_died_of(change):
    """Return True if the next owner has another connection than the one that was changed."""
    identify = database_sync_to_async(lambda: id(drivers_own()))
    kept = []  # so that no new one has the same number

    async def owner():
        kept.append(await database_sync_to_async(drivers_own)())
        await database_sync_to_async(change)()
        assert await identify() == id(kept[0])

    await another(owner())
    return await another(identify()) != id(kept[0])


@pytest.mark.sqlite_file
@pytest.mark.parametrize(
    "change",
    [
        lambda: drivers_own().set_trace_callback(lambda _: None),
        lambda: drivers_own().set_progress_handler(lambda: 0, 1000),
        lambda: drivers_own().set_authorizer(lambda *_: sqlite3.SQLITE_OK),
        lambda: drivers_own().create_function("tenant", 0, lambda: "alpha"),
        lambda: drivers_own().setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000),
        lambda: drivers_own().executescript("PRAGMA user_version"),
        pytest.param(
            lambda: setattr(drivers_own(), "autocommit", True),
            marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="the attribute came with Python 3.12"),
        ),
    ],
    ids=["trace", "progress", "authorizer", "function", "limit", "script", "autocommit"],
)
async def test_settings_of_sqlites_connection_go_with_their_owner(pool_with, change):
    pool_with(MAX_SIZE=1)
    assert await has_died_of(change)


@pytest.mark.postgresql
async def test_types_that_are_registered_on_a_connection_go_with_their_owner(pool_with):
    pool_with(MAX_SIZE=1)
    assert await has_died_of(register_hstore)


@pytest.mark.mysql
@pytest.mark.parametrize(
    "change",
    [
        lambda: drivers_own().select_db("information_schema"),
        lambda: drivers_own().set_character_set("latin1"),
        lambda: drivers_own().query("SET @tenant = 'alpha'"),
        lambda: setattr(drivers_own(), "encoders", {**drivers_own().encoders, Path: str}),
    ],
    ids=["database", "character set", "query", "encoders"],
)
async def test_settings_of_mysqls_connection_go_with_their_owner(pool_with, change):
    pool_with(MAX_SIZE=1)
    assert await has_died_of(change)


async def test_reading_attributes_of_the_drivers_connection_pins_nothing(pool_with):
    pool_with(MAX_SIZE=2)

    def read():
        own = drivers_own()
        with connection.cursor() as sync_cursor:
            sync_cursor.execute("SELECT 1")
            assert sync_cursor.connection is not None
            assert sync_cursor.cursor is not None
        return repr(own), getattr(own, "info", None), getattr(own, "closed", None), type(own).__name__

    await database_sync_to_async(read)()

    assert get_pool().get_stats()["connections_pinned"] == 0
    assert (await database_sync_to_async(lambda: type(drivers_own()).__name__)()) == "Connection"


async def test_a_drivers_connection_that_was_kept_serves_no_other_call(pool_with):
    pool_with(MAX_SIZE=1)
    kept = await another(database_sync_to_async(drivers_own)())

    def use_it():
        drivers_own()  # it serves this call now, and belongs to this owner
        return kept.cursor()

    with pytest.raises(InterfaceError, match=r"after the call|outside the calls"):
        kept.cursor()
    async with transaction.atomic():
        await Counter.objects.acount()
        with pytest.raises(InterfaceError, match="outside the calls"):
            kept.cursor()
        errors = []
        thread = threading.Thread(target=lambda: errors.append(_error_of(kept.cursor)))
        await asyncio.to_thread(lambda: (thread.start(), thread.join()))
        assert isinstance(errors[0], InterfaceError)
    await database_sync_to_async(use_it)()


def _error_of(func):
    try:
        func()
    except InterfaceError as error:
        return error
    return None


async def test_it_stays_with_the_owner_that_has_pinned_it(pool_with):
    pool_with(MAX_SIZE=1)
    change, question = STATES[connection.vendor]

    async def owner():
        async with pinned():
            await database_sync_to_async(lambda: by_cursor_of_the_drivers(change))()
            return await database_sync_to_async(run_sql)(question)

    assert await another(owner()) != await another(database_sync_to_async(run_sql)(question))


@pytest.mark.parametrize(("key", "value"), [("NAME", "other"), ("CONN_HEALTH_CHECKS", True), ("TENANT", "alpha")])
async def test_the_settings_of_a_wrapper_are_its_owners(pool_with, key, value):
    pool_with(MAX_SIZE=1)

    def change():
        connection.settings_dict[key] = value

    before, after, others = await left_to_without_queries(lambda: connection.settings_dict.get(key), change)

    assert after == value
    assert others == before


@pytest.mark.postgresql
async def test_an_owner_that_goes_to_another_database_goes_alone(pool_with):
    pool_with(MAX_SIZE=1)
    question = "SELECT current_database()"

    def go():
        connection.close()
        connection.settings_dict["NAME"] = "postgres"

    async def owner():
        await database_sync_to_async(go)()
        return [await database_sync_to_async(run_sql)(question) for _ in range(2)]

    before = await another(database_sync_to_async(run_sql)(question))
    assert await another(owner()) == ["postgres", "postgres"]
    assert await another(database_sync_to_async(run_sql)(question)) == before


async def left_to_without_queries(look, change):
    looking = database_sync_to_async(look)

    async def owner():
        before = await looking()
        await database_sync_to_async(change)()
        return before, await looking()

    before, after = await another(owner())
    return before, after, await another(looking())


@pytest.mark.postgresql
async def test_functions_of_djangos_pool_may_use_their_connection(pool_with, monkeypatch):
    """``OPTIONS["pool"]`` has psycopg_pool call them, in its own threads."""
    given = []

    def reset(own):
        own.execute("SELECT set_config('app.pooled', 'x', false)")
        own.commit()
        given.append(own)

    run_task = ConnectionPool.run_task

    def return_at_once(self, task):
        """Do it in another thread before Django has dropped the connection; mostly it happens after that."""
        if type(task).__name__ != "ReturnConnection":
            return run_task(self, task)
        thread = threading.Thread(target=task.run)
        thread.start()
        return thread.join()

    monkeypatch.setattr(ConnectionPool, "run_task", return_at_once)
    pool = {"min_size": 1, "max_size": 1, "reset": reset}
    entry = connections.settings["default"]
    monkeypatch.setitem(entry, "OPTIONS", {**entry["OPTIONS"], "pool": pool})
    monkeypatch.setitem(entry, "CONN_MAX_AGE", 0)
    pool_with(MAX_SIZE=1)
    try:
        owns = [await another(database_sync_to_async(drivers_own)()) for _ in range(3)]
        assert get_pool().get_stats()["returns_bad"] == 0
        await get_pool().aclose()
    finally:
        monkeypatch.undo()
        await asyncio.to_thread(_close_djangos_pool)
    assert len(set(map(id, owns))) == 1
    assert len(given) >= 2


def _close_djangos_pool():
    for alias, pool in list(DatabaseWrapper._connection_pools.items()):
        pool.close()
        del DatabaseWrapper._connection_pools[alias]


@pytest.mark.postgresql
def test_a_class_that_instrumentation_makes_for_one_connection_goes_with_it():
    kind = type("Traced", (psycopg.Cursor,), {"__slots__": ()})
    made = kind.__new__(kind)
    watch_cursor(made, ("execute",))
    assert type(made) is not kind
    watched = weakref.ref(type(made))
    watch_cursor(made, ("execute",))
    assert type(made) is watched()
    del made, kind
    gc.collect()
    assert watched() is None


@pytest.mark.sqlite_file
async def test_a_driver_that_is_not_pythons_makes_its_connections_itself(pool_with, monkeypatch):
    """SQLCipher's has another class, which must not be replaced by Python's."""

    class Other:
        Connection = type("Connection", (sqlite3.Connection,), {"__module__": "sqlcipher"})

        def __getattr__(self, name):
            return getattr(sqlite3, name)

        def connect(self, **kwargs):
            return sqlite3.connect(**{"factory": self.Connection, **kwargs})

    monkeypatch.setattr(SQLiteWrapper, "Database", Other())
    monkeypatch.setattr(sqlite_backend, "Database", Other())
    pool_with(MAX_SIZE=1)

    assert isinstance(await database_sync_to_async(drivers_own)(), Other.Connection)
    assert await has_died_of(lambda: drivers_own().set_trace_callback(None))


@pytest.mark.postgresql
async def test_types_that_are_registered_on_a_cursor_are_the_cursors(pool_with):
    pool_with(MAX_SIZE=1)

    def read():
        with connection.cursor() as sync_cursor:
            sync_cursor.cursor.adapters.register_loader("int4", TextLoader)
            sync_cursor.execute("SELECT 1")
            return sync_cursor.fetchone()[0]

    assert await database_sync_to_async(read)() == "1"
    assert get_pool().get_stats()["connections_pinned"] == 0
    assert await database_sync_to_async(run_sql)("SELECT 1") == 1


def test_a_backend_that_names_no_driver_has_its_connections_watched():
    kind = type("Connection", (), {"__module__": "driver", "cursor": lambda self: self})
    wrapper, watcher = SimpleNamespace(connection=kind()), Watcher()
    watch_connection(wrapper, watcher, ("cursor",))
    with pytest.raises(InterfaceError):
        wrapper.connection.cursor()


class Watcher:
    watched_of_cursor = ()

    def has(self, connection):
        return True

    def use_past_django(self, connection, sql):
        raise InterfaceError
