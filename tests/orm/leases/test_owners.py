"""Owners: the state that a request sets is there in its next call, and gone when it has ended. DESIGN §1."""

import asyncio
import contextvars
import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections
from django.db import transaction as django_transaction
from django.db.backends.signals import connection_created
from django.db.transaction import TransactionManagementError

from daf_orm import PoolTimeout, TooManyRequests, cursor, database_sync_to_async, get_pool, pinned, transaction
from daf_orm._leases.cursors import LeasedCursor
from daf_orm._leases.leased_wrapper import be_leased, forget_helpers
from daf_orm._leases.owner import Owner
from daf_orm.owners import Ownership
from tests.orm.leases.test_session import POSTGRESQL, SQLITE, STATES, ask, run_sql
from tests.project.library.models import Author, Counter

pytestmark = pytest.mark.usefixtures("many_connections")
PATIENCE = 20
TENANT = "SELECT current_setting('app.tenant', true)"
tenant = contextvars.ContextVar("tenant", default=None)


def set_tenant(name):
    return f"SELECT set_config('app.tenant', '{name}', false)"


async def in_a_context(*works):
    """Run coroutine functions one after the other as a request under Django's handler, or Channels."""
    async with ThreadSensitiveContext():
        return [await work() for work in works]


async def in_a_task(*works):
    return await asyncio.create_task(_one_by_one(works))


async def _one_by_one(works):
    return [await work() for work in works]


async def in_a_request(*works):
    async def request():
        owner = Ownership("request GET '/'")
        try:
            return [await work() for work in works]
        finally:
            owner.leave()
            if (cleaning := owner.end()) is not None:
                await cleaning

    return await asyncio.create_task(request())


async def in_tasks_of_a_request(*works):
    """Make each call in a child task, which is no owner: the request is."""
    return await in_a_request(*(lambda work=work: asyncio.create_task(work()) for work in works))


def by_database_sync_to_async(sql):
    return lambda: database_sync_to_async(run_sql)(sql)


def by_sync_to_async(sql):
    return lambda: sync_to_async(run_sql)(sql)


def by_a_thread_of_any_kind(sql):
    return lambda: sync_to_async(run_sql, thread_sensitive=False)(sql)


def by_async_to_sync(sql):
    """As synchronous middleware around an async view: its thread waits, and runs the view's queries."""

    async def view():
        await database_sync_to_async(run_sql)(sql)

    return lambda: sync_to_async(async_to_sync(view))()


def by_cursor(sql):
    async def work():
        async with cursor() as cur:
            await cur.execute(sql)
            return (await cur.fetchone())[0] if cur.description else None

    return work


def by_block(sql):
    async def work():
        async with transaction.atomic():
            return await database_sync_to_async(run_sql)(sql)

    return work


OWNERS = [in_a_context, in_a_task, in_a_request, in_tasks_of_a_request]
WAYS = [by_database_sync_to_async, by_sync_to_async, by_a_thread_of_any_kind, by_async_to_sync, by_cursor, by_block]


async def until(condition):
    """Wait for the work of a worker thread after a task has ended."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.001)


NOT_IN_A_TRANSACTION = ("foreign_keys", "ATTACH")


EVERY_WAY = [
    *((owner, way) for owner in (in_a_context, in_a_request) for way in WAYS),
    *((owner, way) for owner in (in_a_task, in_tasks_of_a_request) for way in (by_database_sync_to_async, by_block)),
]


@pytest.mark.parametrize(("owner", "way"), EVERY_WAY, ids=lambda func: func.__name__)
@pytest.mark.parametrize(("change", "look"), STATES)
async def test_an_owner_finds_its_changes_and_no_other_owner_does(pool_with, owner, way, change, look):
    if way is by_block and any(word in change for word in NOT_IN_A_TRANSACTION):
        pytest.skip("SQLite does nothing of it in a transaction")
    pool_with(MAX_SIZE=2)
    (before,) = await owner(by_database_sync_to_async(look))

    ways = [each for each in WAYS if each is not by_async_to_sync and not (each is by_block and "query_only" in look)]
    _, *kept = await owner(way(change), *[each(look) for each in ways])
    if owner is in_a_task and "advisory" in change:  # code that awaits a plain task goes on before its session ends
        await until(lambda: not get_pool().get_stats()["connections_pinned"])
    (after,) = await owner(by_database_sync_to_async(look))

    assert len(set(kept)) == 1
    assert (kept[0] or None) != (before or None)
    assert (after or None) == (before or None)
    await until(lambda: not get_pool().get_stats()["connections_pinned"])


@pytest.mark.parametrize("owner", OWNERS, ids=lambda owner: owner.__name__)
async def test_attributes_of_djangos_wrapper_are_its_owners_and_pin_nothing(pool_with, owner):
    pool = pool_with(MAX_SIZE=2)
    seen = []

    def spy(execute, sql, *arguments):
        seen.append(sql)
        return execute(sql, *arguments)

    def install():
        connection.execute_wrappers.append(spy)
        connection.force_debug_cursor = True
        connection.tenant = "alpha"

    def look():
        run_sql("SELECT 1")
        return len(connection.queries_log), getattr(connection, "tenant", None)

    async def count_pinned():
        return pool.get_stats()["connections_pinned"]

    _, first, second, pins = await owner(
        sync_to_async(install), database_sync_to_async(look), sync_to_async(look), count_pinned
    )
    (other,) = await owner(database_sync_to_async(look))

    assert (first[1], second[1], other[1]) == ("alpha", "alpha", None)
    assert other[0] == 0
    assert second[0] > first[0] > 0
    assert seen.count("SELECT 1") == 2
    assert pins == 0


async def test_calls_at_once_see_the_same_wrapper_state(pool_with):
    pool_with(MAX_SIZE=4)
    barrier = threading.Barrier(3, timeout=PATIENCE)

    def look():
        barrier.wait()
        return connection.tenant

    async def request():
        await sync_to_async(lambda: setattr(connections["default"], "tenant", "alpha"))()
        return await asyncio.gather(*(database_sync_to_async(look)() for _ in range(3)))

    assert await in_a_request(request) == [["alpha"] * 3]


@pytest.mark.postgresql
async def test_untouched_owners_share_connections(pool_with):
    pool = pool_with(MAX_SIZE=2)

    async def request(number):
        counter = await Counter.objects.acreate(name=str(number))
        async with transaction.atomic():
            await Counter.objects.select_for_update().aget(pk=counter.pk)
        await asyncio.sleep(0)
        return pool.get_stats()["connections_pinned"]

    assert set(await asyncio.gather(*(asyncio.create_task(request(number)) for number in range(50)))) == {0}


@pytest.mark.postgresql
async def test_calls_at_once_that_set_something_end_on_one_session(pool_with):
    """The second call goes on on the first one's connection."""
    pool_with(MAX_SIZE=4)
    barrier = threading.Barrier(2, timeout=PATIENCE)

    def set_one(name):
        connection.ensure_connection()
        barrier.wait()
        run_sql(f"SELECT set_config('app.{name}', 'x', false)")
        return run_sql("SELECT pg_backend_pid()")

    async def request():
        pids = await asyncio.gather(*(database_sync_to_async(set_one)(name) for name in ("one", "two")))
        return set(pids), await ask("SELECT current_setting('app.one', true) || current_setting('app.two', true)")

    ((pids, both),) = await in_a_request(request)
    assert len(pids) == 1
    assert both == "xx"


@pytest.mark.postgresql
async def test_a_second_session_of_one_owner_is_refused(pool_with):
    pool_with(MAX_SIZE=4)
    has_set, go_on = asyncio.Event(), asyncio.Event()

    async def one():
        async with transaction.atomic():
            await ask(set_tenant("alpha"))
            has_set.set()
            await go_on.wait()

    async def other(begun):
        async with transaction.atomic():
            await Counter.objects.acount()
            begun.set()
            await has_set.wait()
            with pytest.raises(InterfaceError, match=r"(?s)would have two sessions.*request GET '/' keeps it since .*"):
                await ask(set_tenant("beta"))
        go_on.set()

    async def request():
        begun = asyncio.Event()
        second = asyncio.create_task(other(begun))
        await begun.wait()
        await asyncio.gather(one(), second)

    async with asyncio.timeout(PATIENCE):
        await in_a_request(request)


@pytest.mark.postgresql
async def test_siblings_wait_for_a_block_on_a_pinned_lease(pool_with):
    pool_with(MAX_SIZE=4)
    entered, order = asyncio.Event(), []

    async def block(name):
        async with transaction.atomic():
            entered.set()
            await Counter.objects.acreate(name=f"{name} 1")
            await asyncio.sleep(0)
            order.append(name)
            await Counter.objects.acreate(name=f"{name} 2")
            order.append(name)

    async def request():
        await ask(set_tenant("alpha"))
        await asyncio.gather(*(block(name) for name in "abc"))
        return await Counter.objects.acount()

    assert await in_a_request(request) == [6]
    assert order == [*"aabbcc"]


@pytest.mark.postgresql
async def test_a_call_that_waits_too_long_for_a_siblings_block_names_it(pool_with):
    pool_with(MAX_SIZE=2, TIMEOUT=0.2)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def block():
        async with transaction.atomic():
            entered.set()
            await leave.wait()

    async def request():
        await ask(set_tenant("alpha"))
        task = asyncio.create_task(block())
        await entered.wait()
        with pytest.raises(
            PoolTimeout, match=r"(?s)waited 0.2 s .* in the block at .*test_owners.py.*request GET '/' keeps"
        ):
            await Counter.objects.acount()
        leave.set()
        await task
        return await Counter.objects.acount()

    assert await in_a_request(request) == [0]


@pytest.mark.postgresql
async def test_no_more_are_pinned_than_allowed_and_the_rest_wait_their_turn(pool_with):
    pool = pool_with(MAX_SIZE=3)
    most = 0

    async def request(number):
        nonlocal most
        await ask(set_tenant(number))
        most = max(most, pool.get_stats()["connections_pinned"])
        return await ask(TENANT) == str(number)

    async with asyncio.timeout(PATIENCE):
        found = await asyncio.gather(*(in_a_request(lambda number=number: request(number)) for number in range(60)))

    assert found == [[True]] * 60
    assert most == 2


@pytest.mark.postgresql
async def test_an_owner_that_could_only_be_pinned_after_idle_holders_is_refused_by_name(pool_with):
    """Owners that set nothing are served: the last lease is for those."""
    pool_with(MAX_SIZE=3, TIMEOUT=60.0)
    stop, polls = asyncio.Event(), []

    async def poll(begun):
        await ask(set_tenant("alpha"))
        begun.set()
        await stop.wait()

    for _ in range(2):
        begun = asyncio.Event()
        polls.append(asyncio.create_task(in_a_request(lambda begun=begun: poll(begun))))
        await begun.wait()

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(
            TooManyRequests, match=r"(?s)2 owners keep .*request GET '/' keeps it since .*test_session.py.*"
        ):
            await in_a_request(lambda: ask(set_tenant("beta")))
        assert await in_a_request(Counter.objects.acount) == [0]
        stop.set()
        await asyncio.gather(*polls)
        assert await in_a_request(lambda: ask(set_tenant("beta"))) == ["beta"]


async def long_polls(number):
    """Let requests set something at once, and wait for a row. Return them, their event, and the refused ones."""
    written, begun, refused = asyncio.Event(), [], []

    async def poll():
        try:
            await ask(set_tenant("alpha"))
        except TooManyRequests as error:
            refused.append(str(error))
            return "refused"
        begun.append(1)
        await written.wait()
        return await Counter.objects.acount()

    polls = [asyncio.create_task(in_a_request(poll)) for _ in range(number)]
    await until(lambda: len(begun) + len(refused) == number)
    return polls, written, refused


@pytest.mark.postgresql
async def test_ten_long_polls_on_ten_connections_let_in_the_request_that_they_wait_for(pool_with):
    """One of the ten cannot keep its connection, and gets an error at once; the nine are answered."""
    pool_with(MAX_SIZE=10, TIMEOUT=300.0)

    async def write():
        await Counter.objects.acreate(name="news")
        written.set()

    async with asyncio.timeout(PATIENCE):
        polls, written, refused = await long_polls(10)
        await in_a_request(write)
        outcomes = [outcome for (outcome,) in await asyncio.gather(*polls)]

    assert sorted(outcomes, key=str) == [1] * 9 + ["refused"]
    assert "9 owners keep the connection" in refused[0]


@pytest.mark.postgresql
async def test_a_request_that_must_set_something_beside_ten_long_polls_is_refused_by_name(pool_with):
    pool_with(MAX_SIZE=10, TIMEOUT=300.0)

    async def write():
        await ask(set_tenant("beta"))
        await Counter.objects.acreate(name="news")

    async with asyncio.timeout(PATIENCE):
        polls, written, _ = await long_polls(10)
        with pytest.raises(TooManyRequests, match=r"(?s)9 owners keep .*request GET '/' keeps it since"):
            await in_a_request(write)
        written.set()
        await asyncio.gather(*polls)
        assert await in_a_request(write) == [None]


@pytest.mark.postgresql
@pytest.mark.parametrize("by", [Counter.objects.acount, sync_to_async(Counter.objects.count)], ids=["async", "hop"])
async def test_a_call_that_waits_in_session_mode_for_long_polls_is_named_in_a_warning(pool_with, caplog, by):
    pool_with(MAX_SIZE=10, TIMEOUT=300.0, POOL_MODE="session")

    async with asyncio.timeout(PATIENCE):
        polls, written, _ = await long_polls(10)
        waiting = asyncio.create_task(in_a_request(by))
        await until(lambda: "all 10 are kept by owners that do not use them: request GET '/'" in caplog.text)
        assert not waiting.done()
        written.set()
        assert await waiting == [0]
        assert [outcome for (outcome,) in await asyncio.gather(*polls)] == [0] * 10


@pytest.mark.postgresql
@pytest.mark.parametrize("times", [1, 2])
async def test_a_call_cancelled_while_it_waits_to_pin_leaves_nothing(pool_with, times):
    pool = pool_with(MAX_SIZE=2)
    stop, begun = asyncio.Event(), asyncio.Event()

    async def poll():
        await ask(set_tenant("alpha"))
        begun.set()
        while not stop.is_set():  # in use, so that the other one waits
            await Counter.objects.acount()

    async def wait():
        waiting.set()
        await ask(set_tenant("beta"))

    waiting = asyncio.Event()
    polling = asyncio.create_task(in_a_request(poll))
    await begun.wait()
    task = asyncio.create_task(in_a_request(wait))
    await waiting.wait()
    await until(lambda: pool._pins._changed._waiters)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    stop.set()
    await polling

    stats = pool.get_stats()
    assert (stats["pool_available"], stats["connections_pinned"]) == (stats["pool_size"], 0)


async def test_a_cursor_whose_statement_has_failed_keeps_no_connection(pool_with):
    """Django itself leaves one in the traceback where BEGIN fails on SQLite."""
    pool_with(MAX_SIZE=2)
    kept = []

    @database_sync_to_async
    def fail():
        failing = connection.cursor()
        try:
            failing.execute("SELECT nothing FROM nowhere")
        except DatabaseError as error:
            kept.append((failing, error))

    @database_sync_to_async
    def use_it_again():
        failing, _ = kept[0]
        failing.execute("SELECT 42")
        return failing.fetchone()

    await fail()
    assert get_pool().get_stats()["connections_pinned"] == 0
    lease = await get_pool().lend(owner=Owner("another"))  # so that the next call has another connection
    try:
        assert await use_it_again() == (42,)
    finally:
        get_pool().put_back(lease)
    kept[0][0].close()


async def test_a_cursor_that_is_kept_keeps_its_connection_until_it_is_closed(pool_with):
    pool = pool_with(MAX_SIZE=2)

    async def request():
        kept = await database_sync_to_async(lambda: connection.cursor())()
        pins = [pool.get_stats()["connections_pinned"]]
        await database_sync_to_async(kept.execute)("INSERT INTO library_counter (name, value) VALUES ('mine', 0)")
        await sync_to_async(kept.execute)("SELECT name FROM library_counter")
        row = await sync_to_async(kept.fetchone)()
        await sync_to_async(kept.close)()
        await Counter.objects.acount()
        return row, [*pins, pool.get_stats()["connections_pinned"]]

    assert await in_a_request(request) == [(("mine",), [1, 0])]
    assert await Counter.objects.acount() == 1


async def test_a_cursor_that_outlives_its_owner_is_refused(pool_with):
    pool_with(MAX_SIZE=2)
    (kept,) = await in_a_request(database_sync_to_async(lambda: connection.cursor()))
    assert isinstance(kept, LeasedCursor)

    for use in lambda: kept.fetchone(), lambda: kept.execute("SELECT 1"):
        with pytest.raises(InterfaceError, match=r"request GET '/'.*had ended"):
            await database_sync_to_async(use)()


async def test_a_wrapper_that_outlives_its_owner_is_refused(pool_with):
    pool_with(MAX_SIZE=2)

    def use(wrapper):
        with wrapper.cursor() as sync_cursor:
            sync_cursor.execute("SELECT 1")

    (wrapper,) = await in_a_request(sync_to_async(lambda: connections["default"]))

    with pytest.raises(InterfaceError, match=r"request GET '/' was used after its owner had ended"):
        await database_sync_to_async(use)(wrapper)


async def test_an_iterator_of_djangos_that_is_kept_goes_on_on_its_connection(pool_with):
    pool_with(MAX_SIZE=2)
    await Author.objects.abulk_create(Author(name=str(number)) for number in range(5))

    async def request():
        rows = await database_sync_to_async(lambda: Author.objects.order_by("name").iterator(chunk_size=2))()
        names = []
        while (row := await database_sync_to_async(next)(rows, None)) is not None:
            names.append(row.name)
            await Counter.objects.acount()
        return names

    assert await in_a_request(request) == [[*"01234"]]


@pytest.mark.postgresql
async def test_a_child_that_outlives_an_owner_with_a_session_is_refused(pool_with):
    pool_with(MAX_SIZE=2)
    go_on = asyncio.Event()

    async def late():
        await go_on.wait()
        return await Counter.objects.acount()

    async def touched():
        await ask(set_tenant("alpha"))
        return asyncio.create_task(late(), name="late")

    async def untouched():
        return asyncio.create_task(late())

    ((left,), (fine,)) = await in_a_request(touched), await in_a_request(untouched)
    go_on.set()

    with pytest.raises(InterfaceError, match=r"task 'late' was started by request GET '/', which has ended"):
        await left
    assert await fine == 0


@pytest.mark.postgresql
@pytest.mark.parametrize("cancellations", [1, 2])
async def test_a_cancelled_owner_leaves_a_clean_session(pool_with, cancellations):
    pool = pool_with(MAX_SIZE=1)
    begun = asyncio.Event()

    async def request():
        await ask(set_tenant("alpha"))
        begun.set()
        await ask("SELECT pg_sleep(30)")

    task = asyncio.create_task(in_a_request(request))
    await begun.wait()
    for _ in range(cancellations):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await in_a_request(lambda: ask(TENANT)) != ["alpha"]
    assert pool.get_stats()["connections_pinned"] == 0


@pytest.mark.postgresql
@pytest.mark.parametrize("way", [by_database_sync_to_async, by_sync_to_async], ids=lambda way: way.__name__)
async def test_owners_of_a_closed_loop_are_ended(pool_with, way):
    pool_with(MAX_SIZE=1, TIMEOUT=PATIENCE)

    async def leave():
        await ask(set_tenant("alpha"))

    def run():
        loop = asyncio.new_event_loop()
        task = loop.create_task(leave())
        loop.run_until_complete(asyncio.wait([task]))
        loop.stop()
        loop.close()  # before the done callback has run

    await asyncio.to_thread(run)

    async with asyncio.timeout(PATIENCE / 2):
        assert await in_a_request(way(TENANT)) != ["alpha"]


@pytest.mark.postgresql
async def test_transactions_at_once_that_set_something_leak_nothing(pool_with):
    """The second cannot go on in the first one's session, and raises an error."""
    pool = pool_with(MAX_SIZE=4)
    barrier = threading.Barrier(2, timeout=PATIENCE)

    def work(number):
        with django_transaction.atomic():
            barrier.wait()
            run_sql(f"SELECT pg_advisory_lock_shared({number})")

    async def request():
        outcomes = await asyncio.gather(
            *(database_sync_to_async(work)(number) for number in (0, 0)), return_exceptions=True
        )
        return sorted(type(outcome).__name__ for outcome in outcomes), await Counter.objects.acount()

    assert await in_a_request(request) == [(["InterfaceError", "NoneType"], 0)]
    stats = pool.get_stats()
    assert (stats["connections_pinned"], stats["pool_available"]) == (0, stats["pool_size"])


@pytest.mark.postgresql
async def test_a_task_that_outlives_its_context_pins_nothing_for_ever(pool_with):
    pool = pool_with(MAX_SIZE=2)
    go_on = asyncio.Event()

    async def late():
        await go_on.wait()
        await ask(set_tenant("alpha"))

    async with ThreadSensitiveContext():
        task = asyncio.create_task(late())
    go_on.set()
    await task

    await until(lambda: not pool.get_stats()["connections_pinned"])


@pytest.mark.postgresql
async def test_a_task_does_not_wait_for_its_own_block(pool_with):
    """A cursor and an iteration from outside a block are used inside it."""
    pool_with(MAX_SIZE=2, TIMEOUT=PATIENCE)
    await Author.objects.abulk_create(Author(name=str(number)) for number in range(5))

    async def request():
        async with cursor() as cur:
            await cur.execute(set_tenant("alpha"))
            rows = Author.objects.order_by("name").aiterator(chunk_size=2)
            first = await anext(rows)
            async with transaction.atomic():
                await cur.execute(TENANT)
                return first.name, (await anext(rows)).name, (await cur.fetchone())[0]

    async with asyncio.timeout(PATIENCE / 2):
        assert await in_a_request(request) == [("0", "1", "alpha")]


async def test_an_owner_with_one_thread_may_gather_hops_of_both_kinds(pool_with):
    pool_with(MAX_SIZE=2, TIMEOUT=PATIENCE)
    threads = set()

    def count():
        threads.add(threading.get_ident())
        return Counter.objects.count()

    async def request(executor):
        owner = Ownership("request GET '/'", executor=executor)
        try:
            hop = sync_to_async(count, thread_sensitive=False, executor=executor)
            for _ in range(3):
                assert await asyncio.gather(hop(), database_sync_to_async(count)(), hop()) == [0, 0, 0]
        finally:
            owner.leave()
            if (cleaning := owner.end()) is not None:
                await cleaning

    executor = ThreadPoolExecutor(1)
    async with asyncio.timeout(PATIENCE / 2):
        await asyncio.create_task(request(executor))
    executor.shutdown(wait=False)
    assert len(threads) == 1


async def test_the_next_call_finds_attributes_set_on_either_wrapper(pool_with):
    pool_with(MAX_SIZE=4)
    barrier = threading.Barrier(2, timeout=PATIENCE)

    def both(name):
        connection.ensure_connection()
        barrier.wait()
        before = getattr(connection, "tenant", None)
        barrier.wait()
        if name:
            connection.tenant = name
        barrier.wait()
        return before

    async def request():
        found = []
        for names in (None, None), (None, "alpha"), ("beta", None), (None, None):
            found += await asyncio.gather(*(database_sync_to_async(both)(name) for name in names))
        return found

    assert await in_a_request(request) == [[None, None, None, None, "alpha", "alpha", "beta", "beta"]]


@pytest.mark.postgresql
async def test_a_request_does_not_go_on_without_the_role_that_it_had(pool_with):
    pool_with(MAX_SIZE=3)

    async def request():
        await ask("SET ROLE pg_monitor")
        pid = await ask("SELECT pg_backend_pid()")
        await asyncio.create_task(ask(f"SELECT pg_terminate_backend({pid})"), context=contextvars.Context())
        with pytest.raises(OperationalError):
            await Counter.objects.acount()
        for _ in range(2):
            with pytest.raises(InterfaceError, match=r"of request GET '/' was lost"):
                await Counter.objects.acount()

    await in_a_request(request)
    assert await in_a_request(Counter.objects.acount) == [0]


async def test_instrumentation_may_ask_a_cursor_for_its_connection(pool_with):
    pool = pool_with(MAX_SIZE=2)

    def work():
        with connection.cursor() as sync_cursor:
            sync_cursor.execute("SELECT 1")
            return hasattr(sync_cursor, "connection")

    async def request():
        return await database_sync_to_async(work)(), pool.get_stats()["connections_pinned"]

    assert await in_a_request(request) == [(True, 0)]


async def test_a_method_that_is_replaced_on_a_wrapper_is_replaced_on_the_second_and_pins_nothing(pool_with):
    """As django-debug-toolbar does; calls at once have a wrapper each."""
    pool = pool_with(MAX_SIZE=4)
    barrier, seen = threading.Barrier(2, timeout=PATIENCE), []

    def instrument():
        wrapper, original = connections["default"], connection.cursor

        def instrumented():
            wrapped = original()
            assert wrapped.db is wrapper
            seen.append(id(wrapper))
            return type("Instrumented", (type(wrapped),), {})(wrapped.cursor, wrapper)

        wrapper.cursor = instrumented

    def count():
        barrier.wait()
        with connection.cursor() as sync_cursor:
            barrier.wait()
            sync_cursor.execute("SELECT 1")
            assert type(sync_cursor).__name__ == "Instrumented"

    async def request():
        await database_sync_to_async(instrument)()
        await asyncio.gather(database_sync_to_async(count)(), database_sync_to_async(count)())
        await Counter.objects.acount()
        return len(set(seen)), pool.get_stats()["connections_pinned"]

    assert await in_a_request(request) == [(2, 0)]


@pytest.mark.parametrize("is_connected", [True, False])
async def test_a_method_replaced_by_one_that_cannot_be_copied_keeps_its_connection(pool_with, is_connected):
    pool = pool_with(MAX_SIZE=4)
    used = set()

    class Tool:
        def __init__(self, wrapper):
            self.wrapper, self.original = wrapper, wrapper.cursor

        def __call__(self):
            used.add(self.wrapper)
            return self.original()

    def instrument():
        if is_connected:
            connection.ensure_connection()
        connection.cursor = Tool(connections["default"])

    async def request():
        await database_sync_to_async(instrument)()
        await asyncio.gather(*(Counter.objects.acount() for _ in range(3)))
        return len(used), pool.get_stats()["connections_pinned"]

    assert await in_a_request(request) == [(1, 1)]


@pytest.mark.postgresql
async def test_a_statement_changed_by_an_execute_wrapper_is_checked(pool_with):
    pool = pool_with(MAX_SIZE=2)

    def prefix(execute, sql, *arguments):
        return execute(f"{set_tenant('alpha')}; {sql}", *arguments)

    async def request():
        await sync_to_async(lambda: connection.execute_wrappers.append(prefix))()
        await Counter.objects.acreate(name="a")
        await sync_to_async(lambda: connection.execute_wrappers.remove(prefix))()
        return await ask(TENANT), pool.get_stats()["connections_pinned"]

    assert await in_a_request(request) == [("alpha", 1)]
    assert await in_a_request(lambda: ask(TENANT)) in ([None], [""])


async def test_the_calls_on_a_lease_run_in_one_thread(pool_with):
    """Values that code keeps in threading.local across a transaction are there in each call, and at its end."""
    pool_with(MAX_SIZE=4, TIMEOUT=PATIENCE)
    threads = {}

    async def block(number):
        async with transaction.atomic():
            for _ in range(3):
                thread = await database_sync_to_async(threading.get_ident)()
                threads.setdefault(number, set()).add(thread)
                await asyncio.sleep(0)

    await asyncio.gather(*(asyncio.create_task(block(number)) for number in range(20)))

    assert {len(found) for found in threads.values()} == {1}


async def test_bare_hops_alone_have_idle_connections_closed_in_time(pool_with):
    pool = pool_with(MAX_SIZE=2, MAX_IDLE=0.2)

    await sync_to_async(Counter.objects.count)()

    await until(lambda: pool.get_stats()["pool_size"] == 0)


async def test_a_connection_that_is_closed_on_purpose_is_not_lost(pool_with):
    pool_with(MAX_SIZE=2)
    change, look = {
        "postgresql": ("SET search_path = pg_catalog", "SHOW search_path"),
        "mysql": ("SET @tenant = 'alpha'", "SELECT @tenant"),
        "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only"),
    }[connection.vendor]

    async def request():
        before = await ask(look)
        await ask(change)
        await sync_to_async(lambda: connection.close())()
        return await ask(look) == before

    assert await in_a_request(request) == [True]


# One connection on purpose


@pytest.mark.postgresql
async def test_pinned_has_one_connection_from_its_beginning_to_its_end(pool_with):
    pool = pool_with(MAX_SIZE=3)

    async def request():
        async with pinned():
            pids = {await ask("SELECT pg_backend_pid()") for _ in range(3)}
            held = pool.get_stats()["pool_size"] - pool.get_stats()["pool_available"]
        return len(pids), held, pool.get_stats()["pool_available"]

    assert await in_a_request(request) == [(1, 1, 1)]
    with pytest.raises(TypeError, match="async with"), pinned():
        pass


@pytest.mark.postgresql
async def test_in_session_mode_an_owner_keeps_its_first_connection(pool_with):
    pool = pool_with(MAX_SIZE=3, POOL_MODE="session")

    async def request():
        await Counter.objects.acount()
        pids = {await ask("SELECT pg_backend_pid()") for _ in range(3)}
        return len(pids), pool.get_stats()["connections_pinned"] >= 1

    found = await asyncio.gather(*(in_a_request(request) for _ in range(20)))
    assert found == [[(1, True)]] * 20
    assert pool.get_stats()["connections_pinned"] == 0


@pytest.mark.postgresql
async def test_a_copy_whose_query_sets_something_is_its_owners(pool_with):
    pool_with(MAX_SIZE=2)

    async def copy():
        async with cursor() as async_cursor, async_cursor.copy(f"COPY ({set_tenant('alpha')}) TO STDOUT") as rows:
            return [row async for row in rows]

    assert await in_a_request(copy, lambda: ask(TENANT)) == [[b"alpha\n"], "alpha"]
    assert await in_a_request(lambda: ask(TENANT)) in ([None], [""])


# CONFIGURE


def settings_now():
    return {"app.tenant": tenant.get()}


@pytest.mark.postgresql
async def test_configured_settings_follow_the_context_and_pin_nothing(pool_with):
    pool = pool_with(MAX_SIZE=2, CONFIGURE=f"{__name__}.settings_now")
    pins = set()

    async def request(name):
        tenant.set(name)
        found = {await ask(TENANT), await sync_to_async(run_sql)(TENANT)}
        async with transaction.atomic():
            found.add(await ask(TENANT))
        pins.add(pool.get_stats()["connections_pinned"])
        return found == {name}

    names = [f"t{number}" for number in range(40)]
    assert all(await asyncio.gather(*(asyncio.create_task(request(name)) for name in names)))
    assert pins == {0}
    assert not await asyncio.create_task(ask(TENANT))


@pytest.mark.postgresql
async def test_configured_settings_are_set_again_after_a_reset_and_a_rollback(pool_with):
    pool_with(MAX_SIZE=1, CONFIGURE=f"{__name__}.settings_now")
    tenant.set("alpha")

    def fail():
        with django_transaction.atomic():
            run_sql(TENANT)
            raise KeyError

    with pytest.raises(KeyError):
        await database_sync_to_async(fail)()
    assert await ask(TENANT) == "alpha"
    await in_a_request(lambda: ask("SET statement_timeout = '12s'"))
    assert await ask(TENANT) == "alpha"


@pytest.mark.postgresql
async def test_configured_settings_do_not_change_inside_a_block(pool_with):
    pool_with(MAX_SIZE=1, CONFIGURE=f"{__name__}.settings_now")
    tenant.set("alpha")

    with pytest.raises(TransactionManagementError, match=r"(?s)CONFIGURE.*app\.tenant"):
        async with transaction.atomic():
            await ask(TENANT)
            tenant.set("beta")
            await ask(TENANT)

    assert await ask(TENANT) == "beta"


@pytest.mark.postgresql
async def test_receivers_of_connection_created_set_initial_state_that_pins_nothing(pool_with):
    pool = pool_with(MAX_SIZE=2)

    def on_connect(connection, **_):
        with connection.cursor() as sync_cursor:
            sync_cursor.execute("SELECT set_config('app.tenant', %s, false)", [tenant.get() or "none"])

    async def request(name):
        tenant.set(name)
        return {await ask(TENANT) for _ in range(3)} == {name}, pool.get_stats()["connections_pinned"]

    connection_created.connect(on_connect)
    try:
        found = await asyncio.gather(*(asyncio.create_task(request(f"t{number}")) for number in range(20)))
    finally:
        connection_created.disconnect(on_connect)
    assert found == [(True, 0)] * 20


def test_the_lists_of_states_are_not_shorter_than_what_was_reported():
    assert (len(POSTGRESQL), len(SQLITE)) >= (13, 5)


async def test_a_request_leaves_no_garbage_to_the_collector():
    async def query():
        await Author.objects.acount()

    await in_a_request(query)  # the first one makes what all others reuse
    await in_a_request(query)
    gc.collect()
    gc.disable()
    alive = gc.get_objects()  # those of earlier tests do not become garbage meanwhile
    try:
        await in_a_request(query)
        assert [found for found in _found_by_the_collector() if "django.db" in found or "daf_orm" in found] == []
    finally:
        gc.enable()
        del alive


def _found_by_the_collector():
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


async def test_a_wrapper_that_outlives_its_request_works_without_a_connection():
    kept = []

    @database_sync_to_async
    def keep():
        Author.objects.count()
        kept.append(connections["default"])

    async def work():
        await keep()

    await in_a_request(work)

    def use():
        (wrapper,) = kept
        assert wrapper.ops.quote_name("author")
        assert wrapper.features.supports_transactions
        assert wrapper.ops is wrapper.ops
        assert wrapper.creation.connection is wrapper
        wrapper.close()
        wrapper.close_if_unusable_or_obsolete()
        with pytest.raises(InterfaceError, match="request GET '/' was used after its owner had ended"):
            wrapper.cursor()

    await sync_to_async(use)()


def test_a_backend_that_makes_its_own_helpers_keeps_its_own_way():
    class Features:
        def __init__(self, wrapper):
            self.wrapper = wrapper

    class Backend:
        features_class = ops_class = Features

        @property
        def features(self):
            return "its own"

    wrapper = Backend()
    wrapper.ops = Features(wrapper)
    be_leased(wrapper, None)
    assert type(wrapper).__name__ == "Backend"
    forget_helpers(wrapper)
    assert wrapper.features == "its own"
    assert wrapper.ops.wrapper is wrapper
    other = Backend()
    be_leased(other, None)
    assert type(other) is type(wrapper)


async def test_a_method_replaced_after_an_attribute_was_deleted_keeps_its_connection(pool_with):
    pool = pool_with(MAX_SIZE=4)
    used = set()

    class Tool:
        def __init__(self, wrapper):
            self.wrapper, self.original = wrapper, wrapper.cursor

        def __call__(self):
            used.add(self.wrapper)
            return self.original()

    def set_attribute():
        connection.tenant = "alpha"
        return Counter.objects.count()

    def instrument():
        del connection.tenant
        connection.cursor = Tool(connections["default"])

    async def request():
        await database_sync_to_async(set_attribute)()
        await database_sync_to_async(instrument)()
        await asyncio.gather(*(Counter.objects.acount() for _ in range(3)))
        return len(used), pool.get_stats()["connections_pinned"]

    assert await in_a_request(request) == [(1, 1)]


async def test_an_attribute_that_is_deleted_on_either_wrapper_is_on_none(pool_with):
    pool_with(MAX_SIZE=4)
    barrier = threading.Barrier(2, timeout=PATIENCE)

    def both(work):
        connection.ensure_connection()
        barrier.wait()
        before = getattr(connection, "tenant", None)
        barrier.wait()
        if work is not None:
            work(connections["default"])
        barrier.wait()
        return before

    def assign(wrapper):
        wrapper.tenant = "alpha"

    def delete(wrapper):
        del wrapper.tenant

    async def request():
        found = []
        for works in (None, None), (assign, None), (None, delete), (None, assign), (delete, None), (None, None):
            found += await asyncio.gather(*(database_sync_to_async(both)(work) for work in works))
        return found

    expected = [*[None] * 4, *["alpha"] * 2, *[None] * 2, *["alpha"] * 2, *[None] * 2]
    assert await in_a_request(request) == [expected]


async def test_an_owner_that_ends_while_a_call_of_its_takes_a_wrapper_disturbs_nothing():
    owner = Owner("a request")
    wrappers = [connections.create_connection("default") for _ in range(2)]
    for guest in [owner.add("default", wrapper) for wrapper in wrappers]:
        guest.is_taken = False
    lock = owner._lock

    class EndsAfterwards:
        def __enter__(self):
            lock.acquire()

        def __exit__(self, *_):
            lock.release()
            owner._lock = lock
            owner.end()

    owner._lock = EndsAfterwards()
    assert owner.guest("default").wrapper is wrappers[0]


async def test_a_block_with_an_execute_wrapper_may_end_after_its_owner(pool_with):
    pool_with(MAX_SIZE=2)
    kept = []

    def count(execute, *args):
        return execute(*args)

    @database_sync_to_async
    def begin():
        Counter.objects.count()
        block = connection.execute_wrapper(count)
        block.__enter__()
        kept.append((connections["default"], block))

    async def work():
        await begin()

    await in_a_request(work)
    ((wrapper, block),) = kept
    assert wrapper.execute_wrappers == [count]
    block.__exit__(None, None, None)
    assert wrapper.execute_wrappers == []


async def test_a_cursor_made_around_one_that_outlives_its_owner_is_refused(pool_with):
    pool_with(MAX_SIZE=2)
    kept = []

    @database_sync_to_async
    def keep():
        with connection.cursor() as opened:
            kept.append(opened)

    async def work():
        await keep()

    await in_a_request(work)
    with pytest.raises(InterfaceError, match="request GET '/' was used after its owner had ended"):
        type(kept[0])(kept[0].cursor, kept[0].db)


def test_an_owner_ends_without_waiting_for_its_lock():
    """A finalizer ends the owner of a dropped request, in any code during which the garbage collector runs."""
    owner = Owner("request GET '/'")
    with owner._lock:
        owner.end()
    assert owner.ended
