"""The lease behind ``django.db.connections``, and the private names of Django and asgiref that this needs."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.local import Local
from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext, async_to_sync, sync_to_async
from django.db import close_old_connections, connection, connections
from django.db import transaction as django_transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError
from django.db.utils import ConnectionHandler

from daf_orm import (
    BlockingCall,
    BlockingCallError,
    _aiterator,
    allow_blocking,
    database_sync_to_async,
    get_pool,
    transaction,
)
from daf_orm._django import connections as leased_connections
from daf_orm._django import hops
from daf_orm._leases.scope import innermost_scope
from daf_orm._pool.pool import ConnectionPool
from tests.project.library.models import Author

PATIENCE = 30


def is_closed(driver_connection: Any) -> bool:
    if connection.vendor == "postgresql":
        return bool(driver_connection.closed)
    if connection.vendor == "mysql":
        return not driver_connection.open
    try:
        driver_connection.in_transaction  # noqa: B018 - a closed one refuses
        driver_connection.total_changes  # noqa: B018
    except Exception:  # noqa: BLE001 - drivers differ
        return True
    return False


# Private names


@pytest.mark.no_database
def test_django_keeps_connections_in_a_local_and_makes_them_by_a_method() -> None:
    fresh = ConnectionHandler()

    assert isinstance(fresh._connections, Local)
    assert "create_connection" not in vars(fresh)
    assert list(inspect.signature(fresh.create_connection).parameters) == ["alias"]
    wrapper = fresh["default"]
    assert fresh._connections.default is wrapper
    assert [initialized.alias for initialized in fresh.all(initialized_only=True)] == ["default"]


@pytest.mark.no_database
def test_asgiref_runs_synchronous_code_through_thread_handler() -> None:
    stock = inspect.unwrap(SyncToAsync.thread_handler)

    assert inspect.isfunction(stock)
    assert next(iter(inspect.signature(stock).parameters)) == "self"
    assert stock.__module__ == "asgiref.sync"


@pytest.mark.no_database
async def test_thread_handler_runs_in_the_thread_of_the_code() -> None:
    outside = threading.get_ident()
    hop, thread = await sync_to_async(lambda: (hops.current_hop(), threading.get_ident()))()

    assert isinstance(hop, hops.Hop)
    assert thread != outside
    assert hops.current_hop() is None


@pytest.mark.no_database
def test_asgiref_names_the_thread_that_waits_for_async_code() -> None:
    async def look() -> tuple[Any, Any]:
        return AsyncToSync.executors.current, AsyncToSync.loop_thread_executors[asyncio.get_running_loop()]

    by_context, by_loop = async_to_sync(look)()

    assert by_context is by_loop
    assert isinstance(by_context, CurrentThreadExecutor)
    assert by_context._work_thread is threading.current_thread()
    assert by_context._broken is True  # by now
    assert by_context._old_executor is None


@pytest.mark.no_database
def test_a_nested_waiter_knows_the_one_around_it() -> None:
    async def inner() -> Any:
        assert AsyncToSync.executors.current._broken is False
        return AsyncToSync.executors.current

    async def outer() -> tuple[Any, Any]:
        return AsyncToSync.executors.current, await sync_to_async(async_to_sync(inner))()

    first, second = async_to_sync(outer)()

    assert second is not first
    assert second._old_executor is first


@pytest.mark.no_database
def test_deactivate_restores_everything_and_activate_is_idempotent() -> None:
    assert leased_connections.is_active()
    leased_connections.deactivate()
    try:
        before = _bound()
        assert isinstance(before["storage"], Local)
        assert not hasattr(before["handler"], "__wrapped__")
        assert not before["creates"]
        leased_connections.activate()
        during = _bound()
        leased_connections.activate()
        assert _bound() == during != before
        leased_connections.deactivate()
        assert _bound() == before
        leased_connections.deactivate()
        assert _bound() == before
    finally:
        leased_connections.activate()


def _bound() -> dict[str, Any]:
    return {
        "storage": connections._connections,
        "creates": "create_connection" in vars(connections),
        "handler": SyncToAsync.thread_handler,
    }


# Code that sees the lease


def test_a_thread_has_its_own_connection_until_it_is_replaced_or_removed() -> None:
    def look() -> list[int]:
        first = connections["default"]
        found = [first, connections["default"]]
        connections["default"] = first.copy()
        found += [connections["default"], connections["default"]]
        del connections["default"]
        found += [connections["default"]]
        kept.extend(found)
        return [found.index(each) for each in found]

    leased_connections.activate()
    kept: list[Any] = []
    of_threads = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: of_threads.append(look()))
        thread.start()
        thread.join()

    assert of_threads == [[0, 0, 2, 2, 4], [0, 0, 2, 2, 4]]
    assert len(set(map(id, kept))) == 6


async def test_the_event_loops_own_thread_never_queries(blocking_calls: list[BlockingCall]) -> None:
    async with transaction.atomic():
        with pytest.raises(BlockingCallError):
            Author.objects.count()
    blocking_calls.clear()


async def test_a_thread_that_only_inherited_the_context_does_not_see_the_lease(many_connections: None) -> None:
    seen: list[object] = []

    def look() -> None:
        seen.extend((Author.objects.count(), connection.connection))
        connection.close()

    @database_sync_to_async
    def start_a_thread() -> object:
        thread = threading.Thread(target=contextvars.copy_context().run, args=(look,))
        thread.start()
        thread.join()
        return connection.connection

    async with transaction.atomic():
        await Author.objects.acreate(name="uncommitted")
        ours = await start_a_thread()

    assert seen[0] == 0
    assert seen[1] is not ours


async def test_a_bare_hop_sees_the_connection_of_the_lease() -> None:
    async with transaction.atomic():
        ours = await database_sync_to_async(lambda: connection.connection)()

        assert await sync_to_async(lambda: connection.connection)() is ours
        assert await sync_to_async(lambda: connection.connection, thread_sensitive=False)() is ours


async def test_bare_hops_and_dafs_calls_use_a_lease_one_at_a_time() -> None:
    running, most = 0, 0

    def use() -> None:
        nonlocal running, most
        connection.ensure_connection()
        running += 1
        most = max(most, running)
        Author.objects.create(name="one at a time")
        running -= 1

    async with transaction.atomic():
        bare = (sync_to_async(use, thread_sensitive=False)() for _ in range(4))
        ours = (database_sync_to_async(use)() for _ in range(4))
        await asyncio.gather(*bare, *ours)

    assert most == 1
    assert await Author.objects.acount() == 8


async def test_bare_hops_have_their_turn_in_the_order_they_came() -> None:
    order: list[int] = []
    go = threading.Event()

    def use(number: int) -> None:
        connection.ensure_connection()
        order.append(number)

    async with transaction.atomic():
        scope = innermost_scope()
        assert scope is not None
        tasks = [asyncio.create_task(database_sync_to_async(go.wait)(PATIENCE))]
        for number in range(4):
            while len(scope.lease.turn._queue) < number or not scope.lease.turn.taken:
                await asyncio.sleep(0.001)
            kind = sync_to_async(use, thread_sensitive=False) if number % 2 else database_sync_to_async(use)
            tasks.append(asyncio.create_task(kind(number)))
        while len(scope.lease.turn._queue) < 4:
            await asyncio.sleep(0.001)
        go.set()
        await asyncio.gather(*tasks)

    assert order == [0, 1, 2, 3]


async def test_a_bare_hop_keeps_its_turn_until_it_ends() -> None:
    has_turn, go = threading.Event(), threading.Event()
    order: list[str] = []

    def bare() -> None:
        connection.ensure_connection()
        has_turn.set()
        assert go.wait(PATIENCE)
        order.append("bare")

    async with transaction.atomic():
        hop = asyncio.create_task(sync_to_async(bare, thread_sensitive=False)())
        assert await asyncio.to_thread(has_turn.wait, PATIENCE)
        call = asyncio.create_task(database_sync_to_async(lambda: order.append("ours"))())
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(hop, call)

    assert order == ["bare", "ours"]


async def test_close_old_connections_spares_a_lease_in_a_transaction(
    pool_with: Callable[..., ConnectionPool],
) -> None:
    pool_with(MAX_SIZE=1)
    async with transaction.atomic():
        await Author.objects.acreate(name="kept")
        await sync_to_async(close_old_connections)()
        await sync_to_async(close_old_connections, thread_sensitive=False)()
        assert await Author.objects.acount() == 1

    assert await Author.objects.acount() == 1


# Hops of foreign code


async def test_a_bare_hop_has_a_lease_for_its_queries() -> None:
    def query() -> object:
        Author.objects.count()
        return connection.connection

    for sensitive in True, False:
        assert await sync_to_async(query, thread_sensitive=sensitive)() is not None
    await Author.objects.acount()

    stats = get_pool().get_stats()
    assert (stats["pool_size"], stats["pool_available"]) == (1, 1)
    assert stats["connections_open"] <= 1  # in-memory SQLite's is another's


async def test_a_bare_hop_that_does_not_query_takes_no_lease(pool_with) -> None:
    pool = pool_with(MAX_SIZE=1)

    await sync_to_async(lambda: connection.alias)()

    assert pool.get_stats()["requests_num"] == int(connection.vendor == "sqlite" and connection.is_in_memory_db())


async def test_code_that_runs_while_a_worker_waits_for_async_code_has_the_workers_lease() -> None:
    used: list[object] = []

    def note() -> None:
        Author.objects.count()
        used.append(connection.connection)

    async def query() -> None:
        await database_sync_to_async(note)()

    def work() -> None:
        note()
        async_to_sync(query)()

    await sync_to_async(work)()

    assert used[0] is used[1] is not None


@pytest.mark.sqlite_memory
async def test_a_memory_database_is_used_on_the_event_loop_and_left_alone_by_the_end_of_a_request() -> None:
    """As with Django, close_old_connections() on the loop sees only connections that code there has asked for."""
    await Author.objects.acreate(name="a")

    assert connections.all(initialized_only=True) == []
    with allow_blocking(reason="the connection is asked for"):
        assert Author.objects.count() == 1
        used = connections["default"]
        assert used.connection is not None
    assert connections.all(initialized_only=True) == [used]


def test_a_sync_parents_own_connection_stays_open() -> None:
    async def query() -> object:
        return await sync_to_async(lambda: (Author.objects.count(), connection.connection)[1])()

    connection.ensure_connection()

    assert async_to_sync(query)() is connection.connection
    assert not is_closed(connection.connection)


@pytest.mark.usefixtures("many_connections")
async def test_a_transaction_that_spans_bare_hops_is_its_owners() -> None:
    """As under Django's handler, where a middleware begins it on the way in and ends it on the way out."""
    block = django_transaction.atomic()

    def begin() -> None:
        block.__enter__()
        Author.objects.create(name="kept")

    await sync_to_async(begin)()
    assert get_pool().get_stats()["connections_pinned"] == 1
    assert await asyncio.create_task(Author.objects.acount()) == 0  # another owner
    assert await Author.objects.acount() == 1
    await sync_to_async(lambda: block.__exit__(None, None, None))()

    assert get_pool().get_stats()["connections_pinned"] == 0
    assert await asyncio.create_task(Author.objects.acount()) == 1


@pytest.mark.usefixtures("many_connections")
async def test_a_transaction_that_its_owner_leaves_open_is_rolled_back_and_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def begin() -> None:
        django_transaction.atomic().__enter__()
        Author.objects.create(name="lost")

    async with ThreadSensitiveContext():
        await sync_to_async(begin)()

    assert "A transaction was left open on connection 'default'" in caplog.text
    assert await Author.objects.acount() == 0
    assert get_pool().get_stats()["connections_pinned"] == 0


async def test_a_thread_of_asyncios_is_reported_with_its_line(caplog: pytest.LogCaptureFixture) -> None:
    def count() -> None:
        Author.objects.count()
        BaseDatabaseWrapper.close(connections["default"])

    await asyncio.to_thread(count)

    line = count.__code__.co_firstlineno + 1
    assert f"{__file__}:{line} in " in caplog.text
    assert "nothing will close it" in caplog.text


def test_a_task_left_behind_under_a_sync_parent_is_rolled_back_and_the_next_call_works() -> None:
    left: list[asyncio.Task[None]] = []

    async def block(entered: asyncio.Event) -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            entered.set()
            await asyncio.Event().wait()

    async def leave() -> None:
        entered = asyncio.Event()
        left.append(asyncio.create_task(block(entered)))
        await entered.wait()

    async def count() -> int:
        return await Author.objects.acount()

    async_to_sync(leave)()

    assert left[0].cancelled()
    assert async_to_sync(count)() == 0
    assert not connection.in_atomic_block


@pytest.mark.postgresql
async def test_to_thread_in_a_block_is_refused_whatever_the_thread_is_called() -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="another"))

    async with transaction.atomic():
        with pytest.raises(TransactionManagementError, match="it would run outside the transaction"):
            await asyncio.to_thread(Author.objects.count)


def test_leaving_an_iteration_under_a_sync_parent_closes_its_cursor_on_the_parents_thread(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    Author.objects.bulk_create([Author(name=str(number)) for number in range(50)])
    closers, close = set(), _aiterator._Rows.close

    def noted(self: Any, cancelled: bool) -> None:  # noqa: FBT001
        closers.add(threading.current_thread())
        close(self, cancelled)

    async def first() -> str:
        async for author in Author.objects.order_by("pk").aiterator(chunk_size=5):
            return author.name
        return ""

    async def count() -> int:
        return await Author.objects.acount()

    monkeypatch.setattr(_aiterator._Rows, "close", noted)
    assert [async_to_sync(first)() for _ in range(5)] == ["0"] * 5
    assert async_to_sync(count)() == 50

    assert closers == {threading.current_thread()}
    assert not caplog.records


@pytest.mark.usefixtures("many_connections")
async def test_leaving_an_iteration_inside_a_hop_leaves_a_clean_connection(caplog: pytest.LogCaptureFixture) -> None:
    await Author.objects.abulk_create([Author(name=str(number)) for number in range(50)])

    async def first() -> str:
        async for author in Author.objects.order_by("pk").aiterator(chunk_size=5):
            return author.name
        return ""

    for _ in range(20):
        assert await database_sync_to_async(async_to_sync(first))() == "0"

    assert "was left open" not in caplog.text
    assert get_pool().get_stats()["returns_bad"] == 0
