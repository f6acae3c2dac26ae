"""`ENGINE = "daf_orm.backends.postgresql"`: the ORM waits on the event loop, without a thread."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import importlib
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InternalError, OperationalError, ProgrammingError, connection
from django.db import transaction as django_transaction
from django.db.models.signals import post_save

from daf_orm import cursor, database_sync_to_async, get_pool, transaction
from daf_orm._leases import reset
from daf_orm._leases.session import Session
from daf_orm.sync import query_to_async, runs_in_thread
from tests.project.library.models import Author, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.native
SLEEPS = "query LIKE 'SELECT pg_sleep(600%%' AND state = 'active' AND datname = %s"
"""Of a session of this process's database: other processes of the run have others."""
noted: contextvars.ContextVar[str] = contextvars.ContextVar("noted", default="nothing")


@pytest.fixture(autouse=True)
def no_thread_is_used(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse worker threads, unless the test is marked by the fixture ``threads``."""
    if "threads" in request.fixturenames:
        return

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("A worker thread was asked for.")

    monkeypatch.setattr(get_pool().executor, "submit", refuse)


@pytest.fixture
def threads() -> None:
    """Let the test's calls use worker threads."""


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return the number of round trips to the server since the last call."""
    Connection = importlib.import_module("daf_orm.backends.postgresql.driver").Connection  # noqa: N806 - a class
    count = 0
    wait = Connection._wait_on_loop

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return wait(*args, **kwargs)

    def pop() -> int:
        nonlocal count
        found, count = count, 0
        return found

    monkeypatch.setattr(Connection, "_wait_on_loop", counting)
    return pop


@contextmanager
def receiver(func: Callable[..., Any], sender: Any = Event) -> Iterator[None]:
    post_save.connect(func, sender=sender)
    try:
        yield
    finally:
        post_save.disconnect(func, sender=sender)


@pytest.fixture
async def warm() -> None:
    """Make the first statement of a process, which asks its server for facts."""
    await Event.objects.acount()


def sleep_in_sql(seconds: float) -> None:
    with connection.cursor() as opened:
        opened.execute("SELECT pg_sleep(%s)", [seconds])


async def names() -> list[str]:
    return sorted([event.name async for event in Event.objects.all()])


# The thread


async def test_user_code_of_the_orm_runs_in_the_task_on_its_thread_and_sees_its_context() -> None:
    seen: dict[str, object] = {}

    def note(**_: object) -> None:
        seen.update(thread=threading.current_thread(), task=asyncio.current_task(), noted=noted.get())
        noted.set("by the receiver")

    noted.set("by the task")
    with receiver(note):
        await Event.objects.acreate(name="a")

    assert seen == {"thread": threading.main_thread(), "task": asyncio.current_task(), "noted": "by the task"}
    assert noted.get() == "by the receiver"


async def test_statements_of_many_tasks_wait_at_once_and_the_loop_goes_on() -> None:
    sleepers = [asyncio.create_task(query_to_async(sleep_in_sql)(600)) for _ in range(5)]
    async with asyncio.timeout(20):
        await until_sleeping(5)  # on the loop
    for sleeper in sleepers:
        sleeper.cancel()
    await asyncio.wait(sleepers)

    assert all(sleeper.cancelled() for sleeper in sleepers)


@pytest.mark.usefixtures("threads")
async def test_other_synchronous_code_runs_on_a_thread_and_in_the_same_transaction() -> None:
    def work() -> str:
        Event.objects.create(name="from a thread")
        return threading.current_thread().name

    with suppress(ZeroDivisionError):
        async with transaction.atomic():
            await Event.objects.acreate(name="native")
            assert await database_sync_to_async(work)() != threading.main_thread().name
            assert await sync_to_async(Event.objects.count)() == 2
            assert await names() == ["from a thread", "native"]
            raise ZeroDivisionError

    assert await names() == []


def test_synchronous_code_without_a_loop_has_djangos_behaviour() -> None:
    with django_transaction.atomic():
        Event.objects.create(name="a")
    assert Event.objects.get().name == "a"


async def test_rows_of_a_large_result_let_the_loop_do_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daf_orm._execution.routes.native.PATIENCE", 0.0)
    await Event.objects.abulk_create([Event(name=str(number)) for number in range(1000)])
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count_turns())
    await asyncio.sleep(0)
    await Event.objects.alist()
    counting.cancel()

    assert turns >= 20  # every hundred rows, when they are fetched and when they are made into instances


# Round trips


@pytest.mark.usefixtures("warm")
async def test_begin_travels_with_the_first_statement(exchanges: Callable[[], int]) -> None:
    event = await Event.objects.acreate(name="a")
    exchanges()

    async with transaction.atomic():
        found = await Event.objects.select_for_update().aget(pk=event.pk)
        found.name = "b"
        await found.asave()

    assert exchanges() == 3
    assert await names() == ["b"]


@pytest.mark.usefixtures("warm")
async def test_a_savepoint_travels_with_the_statement_after_it(exchanges: Callable[[], int]) -> None:
    async with transaction.atomic():
        await Event.objects.acreate(name="a")
        exchanges()
        async with transaction.atomic():
            await Event.objects.acreate(name="b")
        assert exchanges() == 2  # and its RELEASE
        async with transaction.atomic():
            pass
        assert exchanges() == 0

    assert await names() == ["a", "b"]


async def test_a_savepoint_rolls_back_what_came_after_it() -> None:
    async with transaction.atomic():
        with suppress(ZeroDivisionError):
            async with transaction.atomic():
                await Event.objects.acreate(name="gone")
                raise ZeroDivisionError
        with suppress(ZeroDivisionError):
            async with transaction.atomic():
                raise ZeroDivisionError
        async with transaction.atomic(), transaction.atomic():
            await Event.objects.acreate(name="kept")

    assert await names() == ["kept"]


@pytest.mark.usefixtures("threads")  # "SELEC" may set anything, for what DAF knows: the session is kept for the task
@pytest.mark.parametrize("statement", ["SELEC 1", "SELECT nothing FROM nowhere", "SELECT 1/0"])
async def test_an_error_of_the_first_statement_aborts_the_transaction(statement: str) -> None:
    with pytest.raises(DatabaseError):
        async with transaction.atomic():
            async with cursor() as cur:
                with pytest.raises(DatabaseError) as raised:
                    await cur.execute(statement)
                assert "BEGIN" not in str(raised.value)
                with pytest.raises(InternalError, match="current transaction is aborted"):
                    await cur.execute("SELECT 1")
            raise raised.value


async def test_several_statements_in_one_string_begin_their_transaction_too() -> None:
    with suppress(ZeroDivisionError):
        async with transaction.atomic():
            async with cursor() as cur:
                await cur.execute("INSERT INTO library_event (name) VALUES ('a'); SELECT 1")
            raise ZeroDivisionError

    assert await names() == []


async def test_the_isolation_level_travels_too(settings: Any) -> None:
    async with transaction.atomic(), cursor() as cur:
        await cur.execute("SHOW transaction_isolation")
        assert await cur.fetchone() == ("read committed",)


@pytest.mark.usefixtures("threads")
async def test_a_statement_from_a_thread_finds_the_savepoint_set() -> None:
    async with transaction.atomic():
        with suppress(ZeroDivisionError):
            async with transaction.atomic():
                await database_sync_to_async(Event.objects.create)(name="gone")
                raise ZeroDivisionError
        await database_sync_to_async(Event.objects.create)(name="kept")

    assert await names() == ["kept"]


async def test_the_drivers_own_statements_find_the_savepoint_set() -> None:
    def work() -> int:
        with django_transaction.atomic():
            Event.objects.create(name="a")
            with suppress(ZeroDivisionError), django_transaction.atomic():
                connection.connection.execute("INSERT INTO library_event (name) VALUES ('past Django')")
                raise ZeroDivisionError
        return Event.objects.count()

    assert await query_to_async(work)() == 1


# Ends


@pytest.mark.parametrize("number", [1, 3])
async def test_a_cancelled_statement_is_stopped_and_its_connection_serves_on(number: int) -> None:
    task = asyncio.create_task(query_to_async(sleep_in_sql)(600))
    await until_one_sleeps()
    for _ in range(number):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await Event.objects.acount() == 0
    assert get_pool().get_stats()["returns_bad"] == 0


async def test_a_time_out_in_a_block_rolls_it_back() -> None:
    with pytest.raises(TimeoutError):
        async with transaction.atomic():
            await Event.objects.acreate(name="gone")
            async with asyncio.timeout(0.05):
                await query_to_async(sleep_in_sql)(600)

    assert await names() == []


async def test_a_commit_is_not_cut_short_by_a_cancellation() -> None:
    committed = asyncio.Event()

    async def work() -> None:
        async with transaction.atomic():
            await Event.objects.acreate(name="kept")
            asyncio.get_running_loop().call_soon(task.cancel)  # while COMMIT is awaited
        committed.set()

    task = asyncio.create_task(work())
    with suppress(asyncio.CancelledError):
        await task

    assert committed.is_set() or await names() in (["kept"], [])
    assert get_pool().get_stats()["pool_available"] == get_pool().get_stats()["pool_size"]


@pytest.mark.usefixtures("threads")
def test_a_task_that_its_loop_drops_loses_its_connection_and_writes_nothing() -> None:
    loop = asyncio.new_event_loop()

    async def work() -> None:
        async with transaction.atomic():
            await Event.objects.acreate(name="gone")
            await query_to_async(sleep_in_sql)(600)

    task = loop.create_task(work())
    loop.run_until_complete(until_one_sleeps())
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        del task
        gc.collect()

    assert Event.objects.count() == 0

    async def look() -> int:
        return await Event.objects.acount()

    assert asyncio.run(look()) == 0


@pytest.mark.usefixtures("threads")
def test_a_task_that_its_loop_drops_as_its_call_ends_returns_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    end_transaction = reset._end_transaction

    def slow(wrapper: Any, origin: object) -> bool:
        wrapper.connection.execute("SELECT pg_sleep(600)")
        return end_transaction(wrapper, origin)

    loop = asyncio.new_event_loop()
    monkeypatch.setattr(Session, "is_untouched", lambda _: False)
    monkeypatch.setattr(reset, "_end_transaction", slow)
    task = loop.create_task(Event.objects.acount())
    loop.run_until_complete(until_one_sleeps())
    loop.close()
    monkeypatch.undo()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task
    gc.collect()

    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"] == 1


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("in_block", [False, True])
def test_a_lease_left_behind_by_a_loop_of_another_thread_is_taken_back(pool_with: Any, in_block: object) -> None:
    pool_with(MAX_SIZE=1, TIMEOUT=10)
    is_left, may_end = threading.Event(), threading.Event()

    def work() -> None:
        Event.objects.create(name="gone")
        sleep_in_sql(600)

    def leave_it() -> None:
        loop = asyncio.new_event_loop()

        async def main() -> None:
            if not in_block:
                await query_to_async(sleep_in_sql)(600)
            async with transaction.atomic():
                await query_to_async(work)()

        task = loop.create_task(main())
        loop.run_until_complete(until_one_sleeps())
        loop.close()
        is_left.set()
        assert may_end.wait(30)
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    thread = threading.Thread(target=leave_it)
    thread.start()
    assert is_left.wait(20)
    try:
        for _ in range(2):
            assert asyncio.run(count_events()) == 0
    finally:
        may_end.set()
        thread.join()
        gc.collect()


async def count_events() -> int:
    return await Event.objects.acount()


@pytest.mark.usefixtures("threads")
def test_a_program_that_ends_while_it_stops_a_statement_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio.run() cancels all tasks, also the one that stops the statement."""

    async def main() -> None:
        task = asyncio.create_task(query_to_async(sleep_in_sql)(600))
        await until_one_sleeps()
        monkeypatch.setattr(native, "stop_statement_on_loop", held_up)
        task.cancel()
        await held.wait()
        monkeypatch.undo()

    async def held_up(_: object) -> bool:
        held.set()
        await asyncio.sleep(600)
        return True

    native = importlib.import_module("daf_orm._execution.routes.native")
    held = asyncio.Event()
    asyncio.run(main())

    assert Event.objects.count() == 0


async def test_a_binary_cursor_in_a_block_leaves_its_connection_usable() -> None:
    def work() -> int:
        with django_transaction.atomic():
            with suppress(psycopg.NotSupportedError), connection.connection.cursor(binary=True) as opened:
                opened.execute("SELECT 1")
            return Event.objects.count()

    assert await query_to_async(work)() == 0


async def until_one_sleeps() -> None:
    await until_sleeping(1)


async def until_sleeping(number: int) -> None:
    """Wait until the server executes this many pg_sleep(600) at the same time."""
    with psycopg.connect(django_settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:
        query = f"SELECT count(*) FROM pg_stat_activity WHERE {SLEEPS}"
        while observer.execute(query, [connection.settings_dict["NAME"]]).fetchone() != (number,):
            await asyncio.sleep(0.01)


async def test_a_connection_that_its_server_ends_is_an_error_and_is_replaced() -> None:
    task = asyncio.create_task(query_to_async(sleep_in_sql)(600))
    await until_one_sleeps()
    with psycopg.connect(django_settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {SLEEPS}"
        observer.execute(query, [connection.settings_dict["NAME"]])
    with pytest.raises(OperationalError):
        await task

    assert await Event.objects.acount() == 0


async def test_a_loop_after_another_uses_the_same_connections() -> None:
    def pid() -> int:
        with connection.cursor() as opened:
            opened.execute("SELECT pg_backend_pid()")
            return opened.fetchone()[0]

    first = await query_to_async(pid)()
    in_thread: list[int] = []
    thread = threading.Thread(target=lambda: in_thread.append(asyncio.run(query_to_async(pid)())))
    thread.start()
    await asyncio.to_thread(thread.join)

    assert in_thread == [first]
    assert await query_to_async(pid)() == first


# Synchronous code that awaits


async def test_asynchronous_receivers_query_in_the_same_transaction() -> None:
    async def note(instance: Event, **_: object) -> None:
        if instance.name == "first":
            async with transaction.atomic():
                await Event.objects.acreate(name="second")
            assert await names() == ["first", "second"]

    with receiver(note), suppress(ZeroDivisionError):
        async with transaction.atomic():
            await Event.objects.acreate(name="first")
            raise ZeroDivisionError
    assert await names() == []

    with receiver(note):
        await Event.objects.acreate(name="first")
    assert await names() == ["first", "second"]


async def test_tasks_of_an_asynchronous_receiver_take_turns() -> None:
    async def note(instance: Event, **_: object) -> None:
        if instance.name == "first":
            await asyncio.gather(*[Event.objects.acreate(name=str(number)) for number in range(5)])

    with receiver(note):
        async with transaction.atomic():
            await Event.objects.acreate(name="first")

    assert len(await names()) == 6


@pytest.mark.usefixtures("threads")
async def test_a_thread_hop_of_an_asynchronous_receiver_finds_the_transaction() -> None:
    async def note(instance: Event, **_: object) -> None:
        if instance.name == "first":
            await sync_to_async(Event.objects.create)(name="by a hop")
            await database_sync_to_async(Event.objects.create)(name="by ours")

    with receiver(note), suppress(ZeroDivisionError):
        async with transaction.atomic():
            await Event.objects.acreate(name="first")
            assert await names() == ["by a hop", "by ours", "first"]
            raise ZeroDivisionError

    assert await names() == []


async def test_async_to_sync_raises_the_awaited_error() -> None:
    async def fail() -> None:
        await Event.objects.acount()
        raise ZeroDivisionError

    def work() -> None:
        async_to_sync(fail)()

    with pytest.raises(ZeroDivisionError):
        await query_to_async(work)()


# Threads for code that blocks


@pytest.mark.usefixtures("threads")
async def test_a_function_marked_for_a_thread_runs_there_in_the_same_transaction() -> None:
    seen: list[threading.Thread] = []

    @runs_in_thread
    def note(instance: Event, **_: object) -> None:
        if instance.name == "first":
            seen.append(threading.current_thread())
            Event.objects.create(name="second")

    with receiver(note), suppress(ZeroDivisionError):
        async with transaction.atomic():
            await Event.objects.acreate(name="first")
            assert await names() == ["first", "second"]
            raise ZeroDivisionError

    assert len(seen) == 1
    assert seen[0] is not threading.main_thread()
    assert await names() == []


@pytest.mark.usefixtures("threads")
async def test_code_that_holds_a_thread_lock_across_queries_ends_in_threads() -> None:
    lock = threading.Lock()

    @runs_in_thread
    def note(instance: Event, **_: object) -> None:
        if not instance.name.startswith("noted"):
            with lock:
                Event.objects.create(name=f"noted {instance.name}")

    with receiver(note):
        async with asyncio.timeout(20):
            await asyncio.gather(*[Event.objects.acreate(name=str(number)) for number in range(6)])

    assert len(await names()) == 12


async def test_a_blocking_call_other_than_a_query_in_a_receiver_is_named(blocking_calls: Any) -> None:
    def nap(**_: object) -> None:
        time.sleep(0.001)

    with receiver(nap), pytest.raises(Exception, match=r"time\.sleep"):
        await Event.objects.acreate(name="a")

    assert [call.operation for call in blocking_calls] == ["time.sleep"]
    blocking_calls.clear()


def test_elsewhere_a_marked_function_is_called_directly() -> None:
    assert runs_in_thread(threading.current_thread)() is threading.current_thread()


# Errors


def test_without_greenlet_the_engine_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['greenlet'] = None\n"
        "from django.core.exceptions import ImproperlyConfigured\n"
        "try: import daf_orm.backends.postgresql.base\n"
        "except ImproperlyConfigured as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "django-daf[native]" in done.stdout


async def test_errors_are_djangos_and_lead_to_the_line_that_queried() -> None:
    with pytest.raises(ProgrammingError) as raised:
        async with cursor() as cur:
            await cur.execute("SELECT nothing FROM nowhere")
    assert raised.traceback[0].path.name == "test_postgresql.py"
    assert isinstance(raised.value.__cause__, psycopg.errors.UndefinedTable)


async def test_a_stray_use_of_the_connection_on_the_loop_is_still_a_blocking_call(blocking_calls: Any) -> None:
    with pytest.raises(Exception, match=r"Event\.objects\.count"):
        Event.objects.count()
    blocking_calls.clear()


async def test_names_of_authors_are_prefetched(warm: None) -> None:
    await Author.objects.acreate(name="a")
    assert [author.name async for author in Author.objects.prefetch_related("books")] == ["a"]


# Event loops


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """An event loop like Windows' Proactor loop, which cannot watch a socket."""

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:
        raise NotImplementedError


def on_a_loop_without_readers(*calls: Callable[[], Any]) -> str:
    """Make the calls; return the error of the last one."""

    async def main() -> str:
        for call in calls[:-1]:
            await call()
        with pytest.raises(ImproperlyConfigured) as caught:
            await calls[-1]()
        return str(caught.value)

    with asyncio.Runner(loop_factory=LoopWithoutReaders) as runner:
        return runner.run(main())


def test_an_event_loop_that_watches_no_socket_is_refused_before_it_connects(sessions: Any) -> None:
    message = on_a_loop_without_readers(Author.objects.acount)

    assert "LoopWithoutReaders has no add_reader()" in message
    assert "asyncio.SelectorEventLoop" in message
    assert "'django.db.backends.postgresql'" in message
    assert not sessions.open()


@pytest.mark.usefixtures("threads")
def test_it_is_refused_on_a_connection_that_a_thread_has_opened_and_threads_go_on() -> None:
    on_thread = database_sync_to_async(Author.objects.count)

    assert "add_reader" in on_a_loop_without_readers(on_thread, Author.objects.acount)
    assert "add_reader" in on_a_loop_without_readers(Author.objects.acount)
    with asyncio.Runner(loop_factory=LoopWithoutReaders) as runner:
        assert runner.run(on_thread()) == 0
