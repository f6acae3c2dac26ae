"""The server goes away and comes back: callers get Django's error, nothing hangs, no lease is lost."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Any, Self

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError, connection, connections
from django.http import HttpResponse
from django.urls import path

from daf_orm import cursor, database_sync_to_async, get_pool, transaction
from daf_orm._execution.routes import thread as thread_route
from daf_orm._pool import commits
from daf_orm._pool.pool import ConnectionPool
from daf_orm._pool.process_pool import reset_pool
from daf_orm.databases import cancellation, mysql, postgresql
from daf_views.asgi import current_drain, get_asgi_application, lifespan
from tests.project.library.models import Author
from tests.support.administration import Administrator
from tests.support.administration import administrator as administrator_at
from tests.support.exchange import exchange
from tests.support.servers import MariaServer, PostgresServer, Server

pytestmark = pytest.mark.usefixtures("has_server")
PATIENCE = 30


class Proxy:
    """A TCP proxy to the test database that can be told to drop its connections, or to go silent."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._forwards = threading.Event()
        self._forwards.set()
        self.holds_back = threading.Event()
        """Set when it has accepted something that it does not deliver."""
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.speak()
        self.drop()
        for thread in self._threads:
            thread.join(PATIENCE)

    def drop(self) -> None:
        """Close every connection, as a restarted load balancer does."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def fall_silent(self) -> None:
        """Accept everything, deliver nothing, as an unplugged cable does."""
        self._forwards.clear()

    def speak(self) -> None:
        """Deliver again, also what was held back."""
        self._forwards.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(self._upstream)
            self._pairs.append((client, server))
            for source, target in ((client, server), (server, client)):
                self._threads.append(threading.Thread(target=self._forward, args=(source, target)))
                self._threads[-1].start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with source, suppress(OSError):
            while data := source.recv(65536):
                if not self._forwards.is_set():
                    self.holds_back.set()
                self._forwards.wait()
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


async def pay(request: Any) -> HttpResponse:
    async with transaction.atomic():
        await Author.objects.acreate(name="paid")
        muted[-1].fall_silent()
    return HttpResponse()


muted: list[Proxy] = []
urlpatterns = [path("pay", pay)]


@pytest.fixture
def administrator(has_server: None) -> Iterator[Administrator]:
    with administrator_at(django_settings.DATABASE_URL) as session:
        yield session


@pytest.fixture
def terminate(administrator: Administrator) -> Callable[[], Any]:
    """End every session in the test database but the test's own, and wait until they are gone."""
    with connection.cursor() as db_cursor:
        db_cursor.execute(administrator.number)
        own = db_cursor.fetchone()[0]
    return lambda: administrator.end_all(connection.settings_dict["NAME"], own)


@pytest.fixture
def at_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Let leases connect to another port of this machine; the test's own connection stays where it is."""

    def redirect(port: int, **options: Any) -> None:
        place = {**connections.settings["default"], **options, "HOST": "127.0.0.1", "PORT": port}
        monkeypatch.setitem(connections.settings, "default", place)
        reset_pool()

    yield redirect
    reset_pool()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a server less time to answer a cancellation."""
    for module in (thread_route, cancellation, mysql, commits, postgresql):
        monkeypatch.setattr(module, "CANCEL_TIMEOUT", 0.3)


@pytest.fixture
def proxy(at_port: Callable[..., None]) -> Iterator[Proxy]:
    place = connection.settings_dict
    with Proxy(place["HOST"], int(place["PORT"])) as proxy:
        at_port(proxy.port)
        yield proxy
        reset_pool()


def settled(pool: ConnectionPool) -> bool:
    stats = pool.get_stats()
    return stats["pool_available"] == stats["pool_size"] and not stats["requests_waiting"]


@database_sync_to_async
def sleep_on_server() -> None:
    with connection.cursor() as db_cursor:
        db_cursor.execute("SELECT pg_sleep(600)" if connection.vendor == "postgresql" else "SELECT SLEEP(600)")


@database_sync_to_async
def driver_connection() -> Any:
    connection.ensure_connection()
    return connection.connection


# Sessions are killed


async def test_calls_in_flight_get_djangos_error_and_the_next_ones_succeed(
    pool_with: Callable[..., ConnectionPool], administrator: Administrator, terminate: Callable[[], Any]
) -> None:
    pool = pool_with(MAX_SIZE=4)
    sleepers = [asyncio.create_task(sleep_on_server()) for _ in range(4)]
    await administrator.until_sleeping(4)
    await terminate()

    errors = await asyncio.gather(*sleepers, return_exceptions=True)

    assert [type(error) for error in errors] == [OperationalError] * 4
    assert settled(pool)
    assert await asyncio.gather(*(Author.objects.acount() for _ in range(8))) == [0] * 8


async def test_a_transaction_whose_session_dies_fails_and_leaves_nothing(
    pool_with: Callable[..., ConnectionPool], terminate: Callable[[], Any]
) -> None:
    pool = pool_with(MAX_SIZE=1)
    with pytest.raises(OperationalError):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            await terminate()
            await Author.objects.acreate(name="lost too")

    assert settled(pool)
    assert await Author.objects.acount() == 0


async def test_a_commit_that_is_never_answered_is_cut_off_at_the_end_and_named(
    pool_with: Callable[..., ConnectionPool], proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    pool = pool_with(MAX_SIZE=1)

    async def pay() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="paid")
            proxy.fall_silent()

    task = asyncio.create_task(pay())
    while not pool.cut_off_commits(patience=0.0):
        await asyncio.sleep(0.01)

    with pytest.raises(OperationalError):
        await task
    (report,) = (record for record in caplog.records if "in doubt" in record.message)
    assert "test_recovery.py" in report.message
    assert "'default'" in report.message
    assert settled(pool)
    assert pool.cut_off_commits(patience=0.0) == 0


@pytest.mark.usefixtures("impatient")
async def test_a_server_ends_although_a_commit_is_never_answered(
    pool_with: Callable[..., ConnectionPool],
    proxy: Proxy,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(lifespan, "COMMIT_INTERVAL", 0.05)
    settings.DAF_VIEWS, settings.ROOT_URLCONF = {"DRAIN_TIMEOUT": 0.05}, __name__
    pool = pool_with(MAX_SIZE=1)
    application, to_application, answers = get_asgi_application(), asyncio.Queue(), asyncio.Queue()
    server = asyncio.create_task(application({"type": "lifespan"}, to_application.get, answers.put))
    to_application.put_nowait({"type": "lifespan.startup"})
    assert (await answers.get())["type"] == "lifespan.startup.complete"
    muted.append(proxy)
    request = asyncio.create_task(exchange(application, path="/pay"))
    while not any(lease.committing for lease in pool._stock.lent):
        await asyncio.sleep(0.01)

    current_drain().request()
    to_application.put_nowait({"type": "lifespan.shutdown"})
    async with asyncio.timeout(PATIENCE):
        assert (await answers.get())["type"] == "lifespan.shutdown.complete"
    await asyncio.gather(server, request, return_exceptions=True)

    assert "in doubt" in caplog.text
    pool.open()


async def test_a_commit_that_finds_its_session_dead_is_no_success(
    pool_with: Callable[..., ConnectionPool], terminate: Callable[[], Any]
) -> None:
    pool = pool_with(MAX_SIZE=1)
    with pytest.raises(OperationalError):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            await terminate()

    assert settled(pool)
    assert await Author.objects.acount() == 0


async def test_a_cursor_and_an_iteration_whose_session_dies_give_their_lease_back(
    pool_with: Callable[..., ConnectionPool], terminate: Callable[[], Any]
) -> None:
    pool = pool_with(MAX_SIZE=1)
    await Author.objects.abulk_create([Author(name=str(number)) for number in range(20)])
    with pytest.raises(OperationalError):
        async with cursor() as cur:
            await cur.execute("SELECT 1")
            await terminate()
            await cur.execute("SELECT 1")
    assert settled(pool)
    reads_on = connection.vendor == "postgresql"  # mysqlclient has all rows by then
    with pytest.raises(OperationalError) if reads_on else nullcontext():
        async for _ in Author.objects.aiterator(chunk_size=2):
            await terminate()

    assert settled(pool)
    assert await Author.objects.acount() == 20


async def test_connections_killed_while_idle_are_replaced_before_their_first_use(
    pool_with: Callable[..., ConnectionPool], terminate: Callable[[], Any]
) -> None:
    pool = pool_with(MAX_SIZE=3)
    together = threading.Barrier(3)
    use = database_sync_to_async(lambda: (connection.ensure_connection(), together.wait(PATIENCE)))
    await asyncio.gather(*(use() for _ in range(3)))
    await terminate()

    assert await asyncio.gather(*(Author.objects.acount() for _ in range(3))) == [0] * 3
    await asyncio.gather(*(use() for _ in range(3)))  # whichever of them was not used above
    assert pool.get_stats()["connections_lost"] == 3
    assert pool.get_stats()["returns_bad"] == 0


async def test_a_connection_killed_while_idle_may_begin_a_transaction(
    pool_with: Callable[..., ConnectionPool], terminate: Callable[[], Any]
) -> None:
    pool_with(MAX_SIZE=1)
    await Author.objects.acount()
    await terminate()
    async with transaction.atomic():
        await Author.objects.acreate(name="kept")

    assert await Author.objects.acount() == 1


# The server restarts


@pytest.fixture(scope="module")
def second_server() -> Iterator[Server]:
    """A server that may be stopped: the suite's own holds the tables of all tests."""
    if connection.vendor == "sqlite":
        pytest.skip(f"needs a server; this run is on {django_settings.DAF_TEST_DATABASE}")
    kind = PostgresServer if connection.vendor == "postgresql" else MariaServer
    with kind(durable=True) as server:  # it is about to be stopped in the middle
        yield server


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_the_pool_recovers_from_a_restart_of_the_server(
    mode: Any, second_server: Server, at_port: Callable[..., None]
) -> None:
    at_port(second_server.port, NAME=second_server.database)
    with administrator_at(second_server.url) as session:
        table = "library_author" if connection.vendor == "postgresql" else f"{second_server.database}.library_author"
        session.execute(f"CREATE TABLE IF NOT EXISTS {table} (id int, name text, email text)")
    pool = get_pool()
    assert await Author.objects.acount() == 0
    sleeper = asyncio.create_task(sleep_on_server())
    while not pool.get_stats()["connections_open"]:
        await asyncio.sleep(0)
    await asyncio.to_thread(second_server.stop, mode)

    with pytest.raises(OperationalError):
        await sleeper
    with pytest.raises(OperationalError):
        await Author.objects.acount()
    assert settled(pool)
    await asyncio.to_thread(second_server.start)
    assert await asyncio.gather(*(Author.objects.acount() for _ in range(8))) == [0] * 8


# The network drops


async def test_dropped_connections_are_djangos_error_and_the_next_calls_succeed(
    proxy: Proxy, administrator: Administrator
) -> None:
    sleepers = [asyncio.create_task(sleep_on_server()) for _ in range(3)]
    await administrator.until_sleeping(3)
    proxy.drop()

    errors = await asyncio.gather(*sleepers, return_exceptions=True)

    assert [type(error) for error in errors] == [OperationalError] * 3
    assert await asyncio.gather(*(Author.objects.acount() for _ in range(3))) == [0] * 3
    assert settled(get_pool())


@pytest.mark.usefixtures("impatient")
async def test_a_call_on_a_silent_network_ends_with_its_timeout(proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    assert await Author.objects.acount() == 0
    proxy.fall_silent()
    call = asyncio.create_task(Author.objects.acount())
    assert await asyncio.to_thread(proxy.holds_back.wait, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, 0.1)

    assert settled(get_pool())
    assert "does not answer; its connection is cut" in caplog.text
    proxy.speak()
    assert await Author.objects.acount() == 0


@pytest.mark.usefixtures("impatient")
async def test_a_transaction_on_a_silent_network_ends_with_its_timeout_and_leaves_nothing(
    proxy: Proxy,
) -> None:
    async def work() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            proxy.fall_silent()
            await Author.objects.acreate(name="lost too")

    task = asyncio.create_task(work())
    assert await asyncio.to_thread(proxy.holds_back.wait, PATIENCE)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task, 0.1)
    assert settled(get_pool())
    proxy.speak()
    assert await Author.objects.acount() == 0


@pytest.mark.usefixtures("impatient")
async def test_a_rollback_on_a_silent_network_ends(proxy: Proxy) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            proxy.fall_silent()
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=PATIENCE)
    proxy.drop()  # if that is needed
    proxy.speak()
    await asyncio.wait([task])

    assert done
    assert settled(get_pool())
    assert await Author.objects.acount() == 0


# Django's own pool


@pytest.fixture
def djangos_pool(postgres_only: None, at_port: Callable[..., None]) -> Iterator[Any]:
    place = connections.settings["default"]
    options = {**place.get("OPTIONS", {}), "pool": {"min_size": 0, "max_size": 2, "timeout": 5}}
    at_port(int(place["PORT"]), OPTIONS=options, CONN_MAX_AGE=0)
    fresh = connections.create_connection("default")
    yield fresh.pool
    reset_pool()
    fresh.close_pool()


async def taken_from(pool: Any, number: int) -> None:
    """Wait until so many connections are out: a thread of the pool's own takes them back."""
    async with asyncio.timeout(PATIENCE):
        while (stats := pool.get_stats())["pool_size"] - stats["pool_available"] != number:
            await asyncio.sleep(0.01)


async def test_leases_hand_their_connections_back_to_djangos_pool(
    djangos_pool: Any, pool_with: Callable[..., ConnectionPool]
) -> None:
    pool = pool_with(MAX_SIZE=2)
    await asyncio.gather(*(Author.objects.acreate(name="pooled") for _ in range(6)))
    async with transaction.atomic():
        assert await Author.objects.acount() == 6
        await taken_from(djangos_pool, 1)

    await taken_from(djangos_pool, 0)
    assert djangos_pool.get_stats()["pool_size"] <= 2
    assert pool.get_stats()["connections_open"] == 0


async def test_a_connection_of_djangos_pool_that_died_is_replaced(
    djangos_pool: Any, pool_with: Callable[..., ConnectionPool], terminate: Callable[[], Any]
) -> None:
    pool_with(MAX_SIZE=1)
    async with transaction.atomic():
        await Author.objects.acreate(name="kept")
    with pytest.raises(OperationalError):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            await terminate()

    assert await Author.objects.acount() == 1
