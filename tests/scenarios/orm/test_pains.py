"""Pains of async Django: one test per pain, by the line that says when it is solved.

The numbers are those of a list of pains; each pain was seen with stock Django. Requests go through Django's own
ASGI handler.
"""

import asyncio
import contextvars
import gc
import io
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler
from django.core.management import call_command
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_init
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from daf_orm import allow_blocking, cursor, database_sync_to_async, get_pool, transaction
from daf_orm._pool.pool import ConnectionPool
from tests.project.library.models import Author, Counter, Publisher

PATIENCE = 30
colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour", default="none")


class Boom(Exception):
    """The error that the tests raise."""


class Site:
    """Django's ASGI handler with one view."""

    def __init__(self) -> None:
        self.view: Callable[[HttpRequest], Awaitable[Any]]
        self._application = ASGIHandler()

    async def get(self) -> int:
        """Make a whole request; return its status."""
        request = await self.open()
        start = await request.receive_output(PATIENCE)
        while (await request.receive_output(PATIENCE)).get("more_body"):
            pass
        await request.wait(PATIENCE)
        return start["status"]

    async def open(self) -> ApplicationCommunicator:
        """Send a request; the response is the caller's to read."""
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        request = ApplicationCommunicator(self._application, scope)
        await request.send_input({"type": "http.request", "body": b""})
        return request


_site = Site()


async def _view(request: HttpRequest) -> Any:
    return await _site.view(request)


urlpatterns = [path("", _view)]


@pytest.fixture
def site(settings: Any) -> Site:
    settings.ROOT_URLCONF = __name__
    return _site


@pytest.fixture
def without_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def open_connections(request: pytest.FixtureRequest, many_connections: None) -> Callable[[], int]:
    """Count the connections to the test database, as the system sees them, that were not there before the test."""
    if connection.vendor == "postgresql":
        sessions = request.getfixturevalue("sessions")
        return lambda: len(sessions.open())
    name = str(connection.settings_dict["NAME"])
    before = _open_files().count(name)
    return lambda: _open_files().count(name) - before


def _open_files() -> list[str]:
    found = []
    with allow_blocking(reason="a look at the process, in memory"):
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                found.append(str(descriptor.readlink()))
    return found


async def settle(count: Callable[[], int], most: int) -> int:
    """Return the count once it is no more than ``most``: a server takes its time to end a session."""
    async with asyncio.timeout(PATIENCE):
        while (number := count()) > most:
            await asyncio.sleep(0.01)
    return number


@contextmanager
def meeting(parties: int) -> Iterator[None]:
    """Let every Counter that is loaded, in whatever thread, wait there for ``parties - 1`` others."""
    barrier = threading.Barrier(parties)

    def meet(**_: object) -> None:
        barrier.wait(PATIENCE)

    post_init.connect(meet, sender=Counter)
    try:
        yield
    finally:
        post_init.disconnect(meet, sender=Counter)


async def test_01_overlapping_blocks_leave_exactly_the_rows_of_those_that_succeeded() -> None:
    async def work(number: int) -> None:
        async with transaction.atomic():
            await Publisher.objects.acreate(name=str(number))
            await asyncio.sleep(0)
            await sync_to_async(Publisher.objects.create)(name=f"{number} again")
            if number % 2:
                raise Boom

    results = await asyncio.gather(*(work(number) for number in range(10)), return_exceptions=True)

    assert [type(result) for result in results] == [type(None), Boom] * 5
    names = {publisher.name async for publisher in Publisher.objects.all()}
    assert names == {f"{number}{again}" for number in range(0, 10, 2) for again in ("", " again")}


@pytest.mark.usefixtures("without_gc")
async def test_02_connections_do_not_pile_up_with_conn_max_age(
    site: Site,
    pool_with: Callable[..., ConnectionPool],
    open_connections: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 60)
    pool_with(MAX_SIZE=3)

    async def view(request: HttpRequest) -> HttpResponse:
        await Author.objects.acount()
        await sync_to_async(Publisher.objects.count)()
        return HttpResponse()

    site.view = view
    for _ in range(10):
        assert await asyncio.gather(*(site.get() for _ in range(10))) == [200] * 10

    assert await settle(open_connections, 3) <= 3


async def test_03_requests_in_flight_hold_no_connection_while_they_await(
    site: Site, pool_with: Callable[..., ConnectionPool], open_connections: Callable[[], int]
) -> None:
    pool_with(MAX_SIZE=2)
    all_here = asyncio.Barrier(12)
    seen: list[int] = []

    async def view(request: HttpRequest) -> HttpResponse:
        await Author.objects.acount()
        await all_here.wait()
        seen.append(open_connections())
        await Publisher.objects.acount()
        return HttpResponse()

    site.view = view

    assert await asyncio.gather(*(site.get() for _ in range(12))) == [200] * 12
    assert max(seen) <= 2


async def test_04_idle_streams_hold_no_connection(site: Site, pool_with: Callable[..., ConnectionPool]) -> None:
    pool = pool_with(MAX_SIZE=2)
    finish = asyncio.Event()

    async def events() -> AsyncIterator[str]:
        yield f"data: {await Author.objects.acount()}\n\n"
        await finish.wait()
        yield f"data: {await Author.objects.acount()}\n\n"

    async def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(events(), content_type="text/event-stream")

    site.view = view
    streams = [await site.open() for _ in range(6)]
    for stream in streams:
        await stream.receive_output(PATIENCE)
        assert (await stream.receive_output(PATIENCE))["body"] == b"data: 0\n\n"

    stats = pool.get_stats()
    assert stats["pool_available"] == stats["pool_size"]
    assert await Author.objects.acount() == 0
    finish.set()
    await asyncio.gather(*(stream.wait(PATIENCE) for stream in streams))


async def test_05_our_calls_leave_no_connection_behind(
    pool_with: Callable[..., ConnectionPool], open_connections: Callable[[], int]
) -> None:
    pool_with(MAX_SIZE=2)
    await asyncio.gather(*(database_sync_to_async(Author.objects.count)() for _ in range(20)))

    assert await settle(open_connections, 2) <= 2


async def test_05_calls_through_to_thread_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    def count() -> None:
        Author.objects.count()
        BaseDatabaseWrapper.close(connections["default"])  # memory databases too

    await asyncio.to_thread(count)

    assert "Replace to_thread() or run_in_executor() by daf_orm.database_sync_to_async()" in caplog.text


async def test_06_a_timed_out_write_is_absent(many_connections: None) -> None:
    slow = "FROM pg_sleep(600)"
    if connection.vendor == "mysql":
        slow = "FROM DUAL WHERE SLEEP(600)"
    elif connection.vendor == "sqlite":
        slow = (
            "FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1e12) SELECT max(i) FROM n)"
        )

    @database_sync_to_async
    def write() -> None:
        with connection.cursor() as db_cursor:
            db_cursor.execute(f"INSERT INTO library_author (name, email) SELECT 'late', '' {slow}")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(write(), 0.2)

    assert await Author.objects.acount() == 0
    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"]


@pytest.mark.postgresql
async def test_07_a_double_cancel_leaves_no_session_idle_in_transaction() -> None:
    wrote = asyncio.Event()

    async def work() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            wrote.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await wrote.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with cursor() as cur:
        idle = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        await cur.execute(f"{idle} AND datname = current_database()")  # other processes of the run have others
        assert await cur.fetchone() == (0,)
    assert await Author.objects.acount() == 0


@pytest.mark.threads
async def test_13_calls_outside_a_request_are_parallel(many_connections: None) -> None:
    await Counter.objects.acreate(name="met")
    with meeting(4):
        await asyncio.gather(*(Counter.objects.aget(name="met") for _ in range(4)))


async def test_13_the_wait_for_a_connection_is_in_the_statistics(
    pool_with: Callable[..., ConnectionPool],
) -> None:
    pool = pool_with(MAX_SIZE=1)
    go = threading.Event()
    calls = [asyncio.create_task(database_sync_to_async(go.wait)(PATIENCE)) for _ in range(4)]
    while pool.get_stats()["requests_waiting"] < 3:
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)  # the time that is measured
    go.set()
    await asyncio.gather(*calls)

    stats = pool.get_stats()
    assert stats["requests_queued"] == 3
    assert stats["requests_wait_ms"] >= 3 * 10


@pytest.mark.threads
async def test_14_gather_in_a_request_is_parallel_as_far_as_the_pool_goes(
    site: Site, pool_with: Callable[..., ConnectionPool], many_connections: None
) -> None:
    pool = pool_with(MAX_SIZE=3)
    await Counter.objects.acreate(name="met")

    async def view(request: HttpRequest) -> HttpResponse:
        await asyncio.gather(*(Counter.objects.aget(name="met") for _ in range(6)))
        return HttpResponse()

    site.view = view
    with meeting(3):
        assert await site.get() == 200
    assert pool.get_stats()["pool_size"] == 3


async def test_14_gather_in_a_transaction_is_serial_and_on_one_connection(site: Site) -> None:
    used: list[object] = []

    async def view(request: HttpRequest) -> HttpResponse:
        async with transaction.atomic():
            note = database_sync_to_async(lambda: used.append(connection.connection))
            await asyncio.gather(*(note() for _ in range(6)))
        return HttpResponse()

    site.view = view
    assert await site.get() == 200
    assert len(used) == 6
    assert all(one is used[0] for one in used)


async def test_16_a_cancelled_request_leaves_no_connection(
    site: Site, pool_with: Callable[..., ConnectionPool], open_connections: Callable[[], int]
) -> None:
    pool_with(MAX_SIZE=1)
    entered = asyncio.Event()
    viewing: list[asyncio.Task[Any] | None] = []
    bodies: list[Any] = []

    async def view(request: HttpRequest) -> HttpResponse:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            await sync_to_async(Publisher.objects.create)(name="lost")
            viewing.append(asyncio.current_task())
            bodies.append(request._stream)
            entered.set()
            await asyncio.Event().wait()
        return HttpResponse()

    site.view = view
    for _ in range(5):
        entered.clear()
        request = await site.open()
        handler = request.future
        await entered.wait()
        handler.cancel()
        await asyncio.wait([handler])
        viewing[-1].cancel()  # Django 5.2 leaves it running
        await asyncio.wait([viewing[-1]])
        bodies[-1].close()  # Django 5.2 leaves that open, too

    assert await settle(open_connections, 1) <= 1
    assert await Author.objects.acount() == await Publisher.objects.acount() == 0


async def test_16_a_client_that_hangs_up_leaves_no_connection(
    site: Site, pool_with: Callable[..., ConnectionPool], open_connections: Callable[[], int]
) -> None:
    pool_with(MAX_SIZE=1)
    entered = asyncio.Event()

    async def view(request: HttpRequest) -> HttpResponse:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            entered.set()
            await asyncio.Event().wait()
        return HttpResponse()

    site.view = view
    request = await site.open()
    assert not request.future.done()
    await entered.wait()
    await request.send_input({"type": "http.disconnect"})
    await request.wait(PATIENCE)

    assert await settle(open_connections, 1) <= 1
    assert await Author.objects.acount() == 0


# 17: where synchronous and asynchronous code nest. A deadlock shows as a timeout.

Query = Callable[[], Awaitable[Any]]


async def _ours() -> None:
    await Author.objects.acreate(name="nested")


async def _bare() -> None:
    await sync_to_async(Author.objects.create)(name="nested")


async def _block() -> None:
    async with transaction.atomic():
        await _ours()


async def _gathered() -> None:
    await asyncio.gather(_ours(), _ours())


def nesting_249(query: Query) -> None:
    """A task, made by async code for which synchronous code in a thread waits."""

    async def make_a_task() -> None:
        await asyncio.create_task(query())  # type: ignore[arg-type]

    asyncio.run(sync_to_async(lambda: async_to_sync(make_a_task)())())


def nesting_348(query: Query) -> None:
    """The same in the context that Django's handler makes for a request, with a timeout around the query."""

    async def view() -> None:
        await asyncio.wait_for(query(), PATIENCE)

    async def handler() -> None:
        async with ThreadSensitiveContext():
            await sync_to_async(lambda: async_to_sync(view)())()

    asyncio.run(handler())


def nesting_492(query: Query) -> None:
    """A task that outlives the synchronous code which waited for its maker."""

    async def main() -> None:
        started: list[asyncio.Task[Any]] = []

        async def inner() -> None:
            started.append(asyncio.create_task(query()))  # type: ignore[arg-type]

        await sync_to_async(async_to_sync(inner))()
        await started[0]

    async_to_sync(main)()


def nesting_535(query: Query) -> None:
    """A request cancelled while its thread waits for the event loop."""

    async def main() -> None:
        queried, finish = asyncio.Event(), asyncio.Event()

        async def view() -> None:
            await query()
            queried.set()
            await finish.wait()

        async def handler() -> None:
            async with ThreadSensitiveContext():
                await sync_to_async(lambda: async_to_sync(view)())()

        task = asyncio.create_task(handler())
        await queried.wait()
        task.cancel()
        asyncio.get_running_loop().call_later(0.1, finish.set)
        await asyncio.wait([task])

    asyncio.run(main())


def nesting_545(query: Query) -> None:
    """One synchronous caller after the other."""
    async_to_sync(query)()
    async_to_sync(query)()


def nesting_in_a_block(query: Query) -> None:
    """Synchronous code inside a transaction waits for async code that queries in it."""

    async def main() -> None:
        async with transaction.atomic():
            await sync_to_async(lambda: async_to_sync(query)())()
            await database_sync_to_async(lambda: async_to_sync(query)())()

    asyncio.run(main())


def nesting_in_a_call(query: Query) -> None:
    """Synchronous code that has a connection for one call waits for async code that wants one too."""
    asyncio.run(database_sync_to_async(lambda: async_to_sync(query)())())


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [1, None])
@pytest.mark.parametrize(
    "nest",
    [
        nesting_249,
        nesting_348,
        nesting_492,
        nesting_535,
        nesting_545,
        nesting_in_a_block,
        nesting_in_a_call,
    ],
)
def test_17_nested_sync_and_async_code_does_not_deadlock(
    nest: Callable[[Query], None], size: int | None, pool_with: Callable[..., ConnectionPool]
) -> None:
    pool_with(MAX_SIZE=size, TIMEOUT=2.0)

    for query in (_ours, _bare, _block, _gathered):
        nest(query)
        assert Author.objects.exists()


@pytest.mark.no_database
@pytest.mark.parametrize("value", ["true", "false", "0"])
def test_21_a_system_check_reports_that_djangos_guard_is_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", value)
    errors = io.StringIO()
    call_command("check", "--tag", "daf_orm", stdout=io.StringIO(), stderr=errors)

    assert os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] == value
    assert f"DJANGO_ALLOW_ASYNC_UNSAFE is set to {value!r}" in errors.getvalue()


async def test_23_leaving_an_iteration_early_gives_its_lease_and_cursor_back(
    pool_with: Callable[..., ConnectionPool],
) -> None:
    pool = pool_with(MAX_SIZE=1)
    await Counter.objects.abulk_create([Counter(name=str(number)) for number in range(20)])
    async for _ in Counter.objects.aiterator(chunk_size=2):
        assert pool.get_stats()["pool_available"] == 0
        assert await server_side_cursors() == (1 if connection.vendor == "postgresql" else 0)
        break

    assert await server_side_cursors() == 0  # on the same connection, since there is one only
    assert pool.get_stats()["pool_available"] == 1


async def test_23_the_cursor_is_closed_on_a_worker_thread(pool_with: Callable[..., ConnectionPool]) -> None:
    pool_with(MAX_SIZE=1)
    await Counter.objects.abulk_create([Counter(name=str(number)) for number in range(20)])
    closed_in: list[str] = []

    class Rows:
        """The rows of the iteration, with an end that can be seen."""

        def __init__(self, rows: Any) -> None:
            self._rows = rows

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            return next(self._rows)

        def close(self) -> None:
            closed_in.append(threading.current_thread().name)
            self._rows.close()

    queryset = Counter.objects.all()
    stock_iterator = queryset.iterator
    queryset.iterator = lambda **options: Rows(stock_iterator(**options))  # type: ignore[method-assign]
    async for _ in queryset.aiterator(chunk_size=2):
        break

    assert await Counter.objects.acount() == 20
    assert [name.startswith("daf_orm_") for name in closed_in] == [True]


@database_sync_to_async
def server_side_cursors() -> int:
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as db_cursor:
        db_cursor.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE '_django_curs%'")
        return db_cursor.fetchone()[0]


async def test_24_context_variables_cross_both_ways(site: Site) -> None:
    seen: list[str] = []

    def repaint(**_: object) -> None:
        seen.append(colour.get())
        colour.set(f"{colour.get()}er")

    async def view(request: HttpRequest) -> HttpResponse:
        colour.set("red")
        await Counter.objects.acreate(name="painted")
        async with transaction.atomic():
            await Counter.objects.aget()
        async for _ in Counter.objects.all():
            pass
        seen.append(colour.get())
        return HttpResponse()

    site.view = view
    post_init.connect(repaint, sender=Counter)
    try:
        assert await site.get() == 200
    finally:
        post_init.disconnect(repaint, sender=Counter)

    assert seen == ["red", "reder", "rederer", "redererer"]
