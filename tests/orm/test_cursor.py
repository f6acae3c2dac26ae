"""The async cursor: SQL on a separate lease, or on that of the surrounding transaction."""

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from django.db import DatabaseError, DataError, InterfaceError, NotSupportedError, ProgrammingError

from daf_orm import cursor, get_pool, transaction
from daf_orm._execution import run_in
from daf_orm.cursor import AsyncCopy
from tests.project.library.models import Author, Event

TABLE = Event._meta.db_table
INSERT = f"INSERT INTO {TABLE} (name) VALUES (%s)"
SELECT = f"SELECT name FROM {TABLE} ORDER BY name"
COPY_IN = f"COPY {TABLE} (name) FROM STDIN"
COPY_OUT = f"COPY (SELECT name FROM {TABLE} ORDER BY name) TO STDOUT"


def lent() -> int:
    stats = get_pool().get_stats()
    return stats["pool_size"] - stats["pool_available"]


async def create_events(*names: str) -> None:
    await Event.objects.abulk_create(Event(name=name) for name in names)


async def event_names(using: str = "default") -> list[str]:
    return await Event.objects.using(using).order_by("name").values_list("name", flat=True).alist()


# Statements


async def test_execute_runs_a_statement_with_parameters() -> None:
    async with cursor() as cur:
        await cur.execute(INSERT, ["100 % wool"])

    assert await event_names() == ["100 % wool"]


async def test_execute_returns_the_cursor() -> None:
    async with cursor() as cur:
        assert await cur.execute("SELECT 1") is cur
        assert await cur.fetchone() == (1,)


async def test_executemany_runs_once_for_each_set_of_parameters() -> None:
    async with cursor() as cur:
        assert await cur.executemany(INSERT, [["a"], ["b"], ["c"]]) is cur

    assert await event_names() == ["a", "b", "c"]


async def test_fetchone_returns_rows_and_then_none() -> None:
    await create_events("a", "b")
    async with cursor() as cur:
        await cur.execute(SELECT)

        assert [await cur.fetchone() for _ in range(3)] == [("a",), ("b",), None]


async def test_fetchmany_returns_at_most_the_size_asked_for() -> None:
    await create_events("a", "b", "c")
    async with cursor() as cur:
        await cur.execute(SELECT)

        assert await cur.fetchmany(2) == [("a",), ("b",)]
        assert await cur.fetchmany(2) == [("c",)]
        assert await cur.fetchmany(2) == []


async def test_fetchmany_defaults_to_the_array_size() -> None:
    await create_events("a", "b", "c")
    async with cursor() as cur:
        await cur.execute(SELECT)

        assert len(await cur.fetchmany()) == min(cur.arraysize, 3)


async def test_fetchall_returns_the_remaining_rows() -> None:
    await create_events("a", "b", "c")
    async with cursor() as cur:
        await cur.execute(SELECT)
        await cur.fetchone()

        assert await cur.fetchall() == [("b",), ("c",)]
        assert await cur.fetchall() == []


@pytest.mark.parametrize("number", [0, 1, 99, 100, 101, 250])
async def test_async_for_brings_every_row(number: int) -> None:
    await create_events(*(f"{i:03}" for i in range(number)))
    async with cursor() as cur:
        rows = [name async for (name,) in await cur.execute(SELECT)]

    assert rows == [f"{i:03}" for i in range(number)]


async def test_async_for_can_be_left_early_and_the_cursor_used_again() -> None:
    await create_events("a", "b", "c")
    async with cursor() as cur:
        async for _row in await cur.execute(SELECT):
            break
        await cur.execute("SELECT 7")

        assert await cur.fetchone() == (7,)


async def test_description_names_the_columns() -> None:
    async with cursor() as cur:
        assert cur.description is None
        await cur.execute("SELECT 1 AS one, 2 AS two")

        assert [column[0] for column in cur.description] == ["one", "two"]


async def test_rowcount_is_the_number_of_changed_rows() -> None:
    await create_events("a", "b", "c")
    async with cursor() as cur:
        await cur.execute(f"UPDATE {TABLE} SET name = 'z' WHERE name <> %s", ["a"])

        assert cur.rowcount == 2


@pytest.mark.sqlite
async def test_lastrowid_is_the_key_of_the_new_row() -> None:
    async with cursor() as cur:
        await cur.execute(INSERT, ["a"])

        assert cur.lastrowid == (await Event.objects.aget()).pk


@pytest.mark.postgresql
async def test_callproc_calls_a_function_of_the_server() -> None:
    async with cursor() as cur:
        await cur.callproc("pg_backend_pid")
        (called,) = await cur.fetchone()

        assert await (await cur.execute("SELECT pg_backend_pid()")).fetchone() == (called,)


# Errors


async def test_errors_are_django_s() -> None:
    async with cursor() as cur:
        with pytest.raises(DatabaseError) as caught:
            await cur.execute("SELECT * FROM nowhere")

    assert type(caught.value).__module__ == "django.db.utils"


async def test_a_cursor_can_be_used_after_an_error() -> None:
    async with cursor() as cur:
        with pytest.raises(DatabaseError):
            await cur.execute("SELECT * FROM nowhere")
        await cur.execute(INSERT, ["a"])

    assert await event_names() == ["a"]


async def test_an_exception_in_the_block_returns_the_lease_and_keeps_what_was_committed() -> None:
    with pytest.raises(LookupError):
        async with cursor() as cur:
            await cur.execute(INSERT, ["a"])
            raise LookupError

    assert lent() == 0
    assert await event_names() == ["a"]


async def test_an_unknown_alias_returns_the_lease() -> None:
    with pytest.raises(Exception, match="nowhere"):
        async with cursor("nowhere"):
            pass

    assert lent() == 0


async def test_a_cancelled_block_returns_its_lease() -> None:
    opened = asyncio.Event()

    async def hold() -> None:
        async with cursor() as cur:
            await cur.execute("SELECT 1")
            opened.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await opened.wait()
    assert lent() == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert lent() == 0


async def test_a_cursor_cancelled_while_it_waits_for_a_lease_takes_none(pool_with) -> None:
    pool_with(MAX_SIZE=1)

    async def run() -> None:
        async with cursor():
            pytest.fail("it had been cancelled")

    waiting = asyncio.create_task(run())  # before the block: in its own context
    async with transaction.atomic():
        while not get_pool().get_stats()["requests_waiting"]:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert lent() == 1

    assert lent() == 0


async def test_one_cursor_object_is_open_once_at_a_time() -> None:
    shared = cursor()
    async with shared:
        with pytest.raises(RuntimeError, match="already open"):
            await shared.__aenter__()
    async with shared as cur:
        assert await (await cur.execute("SELECT 1")).fetchone() == (1,)


# Leases and transactions


async def test_a_cursor_holds_one_lease_for_all_its_calls() -> None:
    before = get_pool().get_stats()["requests_num"]
    async with cursor() as cur:
        await cur.execute(INSERT, ["a"])
        await Event.objects.acreate(name="b")
        assert lent() == 1

    assert get_pool().get_stats()["requests_num"] == before + 1
    assert lent() == 0


async def test_a_lease_from_before_a_change_of_the_settings_is_closed_when_it_ends(settings, sessions) -> None:
    old_pool = get_pool()
    async with cursor() as cur:
        await cur.execute("SELECT 1")
        assert len(sessions.open()) == 1
        settings.DAF_ORM = {"TIMEOUT": 1.0}

    assert old_pool.get_stats()["pool_size"] == 0
    await asyncio.to_thread(sessions.wait_until_closed)


async def test_outside_a_transaction_each_statement_commits() -> None:
    async with cursor() as cur:
        await cur.execute(INSERT, ["a"])
        await cur.execute(INSERT, ["b"])

    assert await event_names() == ["a", "b"]


async def test_inside_a_transaction_it_is_part_of_it() -> None:
    with pytest.raises(LookupError):
        async with transaction.atomic():
            await Event.objects.acreate(name="a")
            async with cursor() as cur:
                await cur.execute(INSERT, ["b"])
                await cur.execute(SELECT)
                assert await cur.fetchall() == [("a",), ("b",)]
            raise LookupError

    assert await event_names() == []


async def test_a_transaction_inside_a_cursor_rolls_back_alone() -> None:
    async with cursor() as cur:
        await cur.execute(INSERT, ["kept"])
        with pytest.raises(LookupError):
            async with transaction.atomic():
                await cur.execute(INSERT, ["lost"])
                raise LookupError

    assert await event_names() == ["kept"]


async def test_two_cursors_of_one_task_share_its_lease() -> None:
    await create_events("a", "b")
    async with cursor() as one, cursor() as two:
        await one.execute(SELECT)
        await two.execute(SELECT)
        rows = [await one.fetchone(), await two.fetchone(), await one.fetchone()]
        assert lent() == 1

    assert rows == [("a",), ("a",), ("b",)]


async def test_using_chooses_the_database() -> None:
    async with cursor(using="other") as cur:
        await cur.execute(INSERT, ["a"])

    assert await event_names() == []
    assert await event_names("other") == ["a"]


async def test_a_transaction_on_one_database_does_not_cover_the_other() -> None:
    with pytest.raises(LookupError):
        async with transaction.atomic():
            async with cursor("other") as cur:
                await cur.execute(INSERT, ["a"])
            raise LookupError

    assert await event_names("other") == ["a"]


# COPY


@pytest.mark.sqlite
async def test_copy_needs_postgresql() -> None:
    async with cursor() as cur:
        with pytest.raises(NotSupportedError, match="executemany"):
            cur.copy(COPY_IN)


@pytest.mark.postgresql
async def test_copy_in_takes_rows_of_python_values() -> None:
    async with cursor() as cur, cur.copy(COPY_IN) as copy:
        await copy.write_row(["a"])
        await copy.write_rows([name] for name in ("b", "c\td"))

    assert await event_names() == ["a", "b", "c\td"]


@pytest.mark.postgresql
async def test_copy_in_takes_formatted_data() -> None:
    async with cursor() as cur, cur.copy(COPY_IN) as copy:
        await copy.write("a\n")
        await copy.write(b"b\nc\n")

    assert await event_names() == ["a", "b", "c"]


@pytest.mark.postgresql
async def test_copy_out_brings_blocks_of_data() -> None:
    await create_events("a", "b")
    async with cursor() as cur, cur.copy(COPY_OUT) as copy:
        assert b"".join([bytes(block) async for block in copy]) == b"a\nb\n"


@pytest.mark.postgresql
async def test_copy_out_brings_every_row() -> None:
    await create_events(*(f"{i:03}" for i in range(250)))
    async with cursor() as cur, cur.copy(COPY_OUT) as copy:
        rows = [name async for (name,) in copy.rows()]

    assert rows == [f"{i:03}" for i in range(250)]


@pytest.mark.postgresql
async def test_copy_takes_parameters() -> None:
    await create_events("a", "b")
    sql = f"COPY (SELECT name FROM {TABLE} WHERE name = %s) TO STDOUT"
    async with cursor() as cur, cur.copy(sql, ["b"]) as copy:
        assert await copy.read() == b"b\n"
        assert await copy.read() == b""


@pytest.mark.postgresql
async def test_an_exception_in_the_middle_of_copy_in_writes_nothing() -> None:
    async with cursor() as cur:
        with pytest.raises(LookupError):
            async with cur.copy(COPY_IN) as copy:
                await copy.write_row(["a"])
                raise LookupError
        await cur.execute(INSERT, ["after"])

    assert await event_names() == ["after"]
    assert lent() == 0


@pytest.mark.postgresql
async def test_copy_out_can_be_left_in_the_middle() -> None:
    await create_events(*(f"{i:03}" * 30 for i in range(250)))
    async with cursor() as cur:
        with pytest.raises(LookupError):
            async with cur.copy(COPY_OUT) as copy:
                await copy.read()
                raise LookupError

    assert lent() == 0
    assert await Event.objects.acount() == 250


@pytest.mark.postgresql
async def test_a_cancelled_copy_writes_nothing_and_returns_its_lease() -> None:
    began = asyncio.Event()

    async def load() -> None:
        async with cursor() as cur, cur.copy(COPY_IN) as copy:
            await copy.write_row(["a"])
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(load())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert lent() == 0
    assert await event_names() == []


@pytest.mark.postgresql
async def test_copy_inside_a_transaction_is_part_of_it() -> None:
    with pytest.raises(LookupError):
        async with transaction.atomic():
            async with cursor() as cur, cur.copy(COPY_IN) as copy:
                await copy.write_row(["a"])
            assert await Event.objects.acount() == 1
            raise LookupError

    assert await event_names() == []


@pytest.mark.postgresql
async def test_copy_into_an_unknown_table_raises_django_s_error() -> None:
    async with cursor() as cur:
        with pytest.raises(ProgrammingError, match="nowhere"):
            async with cur.copy("COPY nowhere FROM STDIN"):
                pass
        await cur.execute(INSERT, ["after"])

    assert await event_names() == ["after"]


@pytest.mark.postgresql
async def test_copied_data_the_server_refuses_raises_django_s_error() -> None:
    async with cursor() as cur:
        with pytest.raises(DataError):
            async with cur.copy(f"COPY {TABLE} (id, name) FROM STDIN") as copy:
                await copy.write("not a number\tb\n")

    assert await event_names() == []


@pytest.mark.postgresql
async def test_a_value_that_cannot_be_copied_raises_django_s_error() -> None:
    async with cursor() as cur:
        with pytest.raises(ProgrammingError, match="adapt"):
            async with cur.copy(COPY_IN) as copy:
                await copy.write_row([object()])

    assert await event_names() == []


@pytest.mark.postgresql
@pytest.mark.parametrize("method", ["read", "rows"])
async def test_a_query_that_fails_during_copy_out_raises_django_s_error(method: str) -> None:
    sql = "COPY (SELECT 1 / (3 - i) FROM generate_series(1, 10) i) TO STDOUT"
    async with cursor() as cur:
        with pytest.raises(DataError, match="division by zero"):
            async with cur.copy(sql) as copy:
                [block async for block in (copy if method == "read" else copy.rows())]

    assert lent() == 0


@pytest.mark.postgresql
async def test_orm_calls_in_a_cursor_s_block_use_its_connection() -> None:
    pid = "SELECT pg_backend_pid() AS id"
    async with cursor() as cur:
        (mine,) = await (await cur.execute(pid)).fetchone()

        assert [row.id async for row in Author.objects.raw(pid)] == [mine]


@pytest.mark.threads
@pytest.mark.postgresql
@pytest.mark.parametrize("direction", ["FROM STDIN", "TO STDOUT"])
async def test_a_copy_cancelled_as_it_begins_leaves_the_connection_free(
    pool_with: Any, monkeypatch: pytest.MonkeyPatch, direction: str
) -> None:
    pool_with(MAX_SIZE=1, TIMEOUT=5)
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    begin = AsyncCopy._begin

    def slow(self: AsyncCopy) -> None:
        begin(self)
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)

    async def work() -> None:
        async with cursor() as cur, cur.copy(f"COPY library_author (name, email) {direction}"):
            pytest.fail("it was cancelled before")

    monkeypatch.setattr(AsyncCopy, "_begin", slow)
    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    go_on.set()

    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await Author.objects.acount() == 0


@pytest.mark.postgresql
@pytest.mark.parametrize("direction", ["FROM STDIN", "TO STDOUT"])
async def test_a_query_beside_a_copy_is_refused_and_the_copy_goes_on(direction: str) -> None:
    await Author.objects.acreate(name="a")

    async with asyncio.timeout(10):
        async with cursor() as cur, cur.copy(f"COPY library_author (name, email) {direction}") as copy:
            with pytest.raises(InterfaceError, match="A COPY is in progress on this connection"):
                await Author.objects.acount()
            if direction == "FROM STDIN":
                await copy.write_row(("b", ""))
            else:
                assert [row async for row in copy.rows()] == [("a", "")]

        assert await Author.objects.acount() == (2 if direction == "FROM STDIN" else 1)


@pytest.mark.postgresql
async def test_a_block_that_ends_before_a_tasks_copy_ends_it_too() -> None:
    copying, release = asyncio.Event(), asyncio.Event()

    async def copy_in() -> None:
        async with cursor() as cur, cur.copy("COPY library_author (name, email) FROM STDIN") as copy:
            await copy.write_row(("lost", ""))
            copying.set()
            await release.wait()

    async with asyncio.timeout(10):
        with pytest.raises(DatabaseError):
            async with transaction.atomic():
                task = asyncio.create_task(copy_in())
                await copying.wait()
        release.set()
        await asyncio.gather(task, return_exceptions=True)

    assert await Author.objects.acount() == 0


@pytest.mark.threads
@pytest.mark.usefixtures("many_connections")
async def test_a_call_that_is_dropped_leaves_the_context_of_other_code_alone(pool_with):
    """The garbage collector closes the coroutine of a dropped task in the context of whatever runs at the time."""
    pool_with(MAX_SIZE=2)
    begun, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go_on.wait(10)

    async with cursor() as cur:
        dropped = run_in(cur._scope, wait)
        contextvars.copy_context().run(dropped.send, None)
        await asyncio.to_thread(begun.wait, 10)

        async def other() -> bool:
            async with transaction.atomic():
                dropped.close()
                go_on.set()
                return transaction.in_atomic_block()

        assert await asyncio.create_task(other(), context=contextvars.Context())


@pytest.mark.native
async def test_on_the_event_loop_too_a_dropped_call_leaves_the_context_of_other_code_alone(pool_with):
    pool_with(MAX_SIZE=2)
    async with cursor() as cur:
        dropped = cur.execute("SELECT pg_sleep(60)")
        contextvars.copy_context().run(dropped.send, None)

        async def other() -> bool:
            async with transaction.atomic():
                await Author.objects.acount()
                dropped.close()
                return transaction.in_atomic_block() and await Author.objects.acount() == 0

        assert await asyncio.create_task(other(), context=contextvars.Context())
