import asyncio
import contextvars
import threading
from contextvars import ContextVar

import pytest
from asgiref.sync import AsyncToSync, SyncToAsync, async_to_sync, sync_to_async

from daf_orm import get_pool, transaction
from daf_orm._pool.process_pool import reset_pool
from daf_orm.test import count_hops
from daf_views._django.executors import context_without_returned_callers
from daf_views.asgi.executors import enter_request_threads, leave_request_threads
from tests.orm.databases.test_cancellation import own_connections, slowly  # noqa: F401 - a fixture
from tests.project.library.models import Author

pytestmark = pytest.mark.django_db(transaction=True)


def threads():
    """The threads of a request whose task is the test's."""
    return enter_request_threads()[0]


@pytest.fixture
def gate():
    """A synchronous call that waits, and what tells that it does."""
    return threading.Event(), threading.Event()


async def hold(gate):
    entered, let_go = gate

    def func():
        entered.set()
        assert let_go.wait(20)

    return await sync_to_async(func)()


async def began(gate):
    await asyncio.to_thread(gate[0].wait, 20)


async def test_asgiref_still_finds_an_executor_where_we_put_it():
    mine = threads()
    context = SyncToAsync.thread_sensitive_context.get()
    assert SyncToAsync.context_to_thread_executor[context] is mine
    await sync_to_async(int)()
    assert not mine.is_busy


async def test_calls_of_a_request_run_one_at_a_time_in_order(gate):
    threads()
    order = []
    first = asyncio.create_task(hold(gate))
    await began(gate)
    later = [asyncio.create_task(sync_to_async(order.append)(number)) for number in range(5)]
    await asyncio.sleep(0)
    assert order == []
    gate[1].set()
    await asyncio.gather(first, *later)
    assert order == [0, 1, 2, 3, 4]


async def test_a_call_has_a_lease_and_gives_it_back():
    await asyncio.to_thread(reset_pool)  # other tests may have left more
    threads()
    assert await sync_to_async(Author.objects.count)() == 0
    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"] == 1


async def test_a_call_in_an_atomic_block_is_part_of_it():
    threads()
    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            await sync_to_async(Author.objects.create)(name="A")
            assert await Author.objects.acount() == 1
            raise ZeroDivisionError
    assert await Author.objects.acount() == 0


async def test_a_cancelled_call_that_waits_never_runs(gate):
    mine = threads()
    ran = []
    first = asyncio.create_task(hold(gate))
    await began(gate)
    second = asyncio.create_task(sync_to_async(ran.append)(1))
    await asyncio.sleep(0)
    second.cancel()
    gate[1].set()
    await first
    await asyncio.wait([second])
    await mine.join()
    assert second.cancelled()
    assert ran == []


async def test_join_waits_for_a_call_whose_caller_has_gone(gate):
    mine = threads()
    caller = asyncio.create_task(hold(gate))
    await began(gate)
    caller.cancel()
    await asyncio.wait([caller])
    assert mine.is_busy
    gate[1].set()
    await mine.join()
    assert not mine.is_busy


@pytest.mark.usefixtures("own_connections")
async def test_a_running_statement_is_stopped_with_its_caller():
    mine, started = threads(), threading.Event()
    caller = asyncio.create_task(sync_to_async(slowly(started))())
    assert await asyncio.to_thread(started.wait, 20)
    caller.cancel()
    await asyncio.wait([caller])
    async with asyncio.timeout(20):
        await mine.join()


async def test_exceptions_come_through_as_they_are():
    threads()

    def fail():
        raise LookupError("this one")

    with pytest.raises(LookupError, match="this one"):
        await sync_to_async(fail)()


async def test_synchronous_code_may_wait_for_asynchronous_code_that_hops_back():
    async def count():
        return await Author.objects.acount()

    threads()
    assert await sync_to_async(async_to_sync(count))() == 0


async def test_context_variables_cross_both_ways():
    variable = ContextVar("variable", default="none")
    threads()
    variable.set("from the loop")

    def change():
        seen = variable.get()
        variable.set("from the thread")
        return seen

    assert await sync_to_async(change)() == "from the loop"
    assert variable.get() == "from the thread"


async def test_a_call_counts_as_one_hop():
    threads()
    with count_hops() as hops:
        await sync_to_async(passer_by)()
    assert hops.by_name == {"passer_by": 1}


def passer_by():
    """Do nothing."""


async def test_left_threads_are_not_used_any_more():
    mine, token = enter_request_threads()
    leave_request_threads(token)
    assert SyncToAsync.thread_sensitive_context.get(None) is None
    await sync_to_async(int)()
    assert not mine.is_busy


async def test_another_loop_within_the_request_has_its_own_calls():
    mine = threads()

    def run_a_loop():
        async def inner():
            return await sync_to_async(lambda: "from another loop")()

        return asyncio.run(inner())

    assert await asyncio.to_thread(run_a_loop) == "from another loop"
    assert not mine.is_busy


async def test_one_thread_serves_all_calls_of_a_request_when_asked_to():
    mine, token = enter_request_threads(one_thread=True)
    local = threading.local()
    await sync_to_async(setattr)(local, "user", "ada")
    assert await sync_to_async(getattr)(local, "user") == "ada"
    leave_request_threads(token)
    await mine.join()
    mine.shutdown(wait=False)


async def test_the_context_without_returned_callers_forgets_parents_that_have_gone():
    async def inner():
        return contextvars.copy_context()

    left = await asyncio.to_thread(async_to_sync(inner))
    context = left.run(context_without_returned_callers)
    assert context.run(getattr, AsyncToSync.executors, "current", None) is None
