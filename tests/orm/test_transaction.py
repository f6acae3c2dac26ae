"""Async transactions: Django's rules, kept across awaits, tasks and cancellations."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import IntegrityError, connection
from django.db import transaction as django_transaction
from django.db.models.signals import post_save
from django.db.transaction import TransactionManagementError

from daf_orm import cursor, database_sync_to_async, get_pool, transaction
from daf_orm._leases.guest import Guest
from tests.project.library.models import Author, Counter, Publisher, Tag


class Boom(Exception):
    """The error that the tests raise."""


async def names() -> set[str]:
    return {author.name async for author in Author.objects.all()}


async def test_commits_when_the_block_ends_normally() -> None:
    async with transaction.atomic():
        await Author.objects.acreate(name="kept")

    assert await names() == {"kept"}


async def test_rolls_back_when_the_block_raises() -> None:
    with pytest.raises(Boom):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            raise Boom

    assert await names() == set()


async def test_everything_that_runs_under_the_lease_joins_and_rolls_back_with_it() -> None:
    with pytest.raises(Boom):
        async with transaction.atomic():
            await Publisher.objects.acreate(name="stock manager")
            await Counter(name="stock instance").asave()
            await sync_to_async(Author.objects.create)(name="bare, thread-sensitive")
            await sync_to_async(Author.objects.create, thread_sensitive=False)(name="bare")
            await database_sync_to_async(Author.objects.create)(name="ours")
            assert await Author.objects.acount() == 3
            raise Boom

    assert await Author.objects.acount() == 0
    assert await Publisher.objects.acount() == await Counter.objects.acount() == 0


async def test_bare_code_outside_a_block_leaves_no_connection_behind() -> None:
    def used() -> object:
        Author.objects.count()
        return connection.connection

    assert await sync_to_async(used, thread_sensitive=False)() is not None
    left = await asyncio.gather(
        *(sync_to_async(lambda: connection.connection, thread_sensitive=False)() for _ in range(8))
    )
    assert connection.is_in_memory_db() if connection.vendor == "sqlite" and any(left) else not any(left)


async def test_nested_blocks_are_savepoints() -> None:
    async with transaction.atomic():
        await Author.objects.acreate(name="outer")
        with pytest.raises(Boom):
            async with transaction.atomic():
                await Author.objects.acreate(name="inner")
                raise Boom
        await Author.objects.acreate(name="after")

    assert await names() == {"outer", "after"}


async def test_an_inner_block_without_savepoint_dooms_the_outer_one() -> None:
    async with transaction.atomic():
        with pytest.raises(Boom):
            async with transaction.atomic(savepoint=False):
                raise Boom
        with pytest.raises(TransactionManagementError):
            await Author.objects.acreate(name="refused")

    assert await names() == set()


async def test_a_durable_block_refuses_to_be_nested() -> None:
    async with transaction.atomic():
        with pytest.raises(RuntimeError, match="durable"):
            async with transaction.atomic(durable=True):
                pass
        await Author.objects.acreate(name="kept")

    assert await names() == {"kept"}


async def test_a_synchronous_atomic_block_inside_is_a_savepoint() -> None:
    def fail() -> None:
        with django_transaction.atomic():
            Author.objects.create(name="inner")
            raise Boom

    async with transaction.atomic():
        await Author.objects.acreate(name="outer")
        with pytest.raises(Boom):
            await database_sync_to_async(fail)()

    assert await names() == {"outer"}


async def test_an_error_of_the_database_leaves_by_the_block() -> None:
    await Counter.objects.acreate(name="taken")
    with pytest.raises(IntegrityError):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            await Counter.objects.acreate(name="taken")

    assert await names() == set()


async def test_a_block_that_swallows_an_error_which_aborted_the_transaction_does_not_succeed() -> None:
    async def work() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost?")
            with pytest.raises(IntegrityError):
                await sync_to_async(_insert_duplicates)()

    if connection.vendor == "postgresql":
        with pytest.raises(TransactionManagementError, match="aborted"):
            await work()
        assert await names() == set()
    else:
        await work()
        assert await names() == {"lost?"}


def _insert_duplicates() -> None:
    with connection.cursor() as cursor:
        for _ in range(2):
            cursor.execute("INSERT INTO library_counter (name, value) VALUES ('twice', 0)")


async def test_decorates_coroutine_functions() -> None:
    @transaction.atomic
    async def create(name: str, *, fail: bool) -> str:
        await Author.objects.acreate(name=name)
        if fail:
            raise Boom
        return name

    assert await create("kept", fail=False) == "kept"
    with pytest.raises(Boom):
        await create("lost", fail=True)

    assert await names() == {"kept"}


@pytest.mark.no_database
def test_refuses_to_decorate_anything_else() -> None:
    async def generate() -> AsyncIterator[int]:
        yield 1

    for func in (lambda: None, generate):
        with pytest.raises(TypeError, match=r"django\.db\.transaction\.atomic|coroutine functions"):
            transaction.atomic()(func)  # type: ignore[arg-type]


async def test_each_alias_has_its_own_transaction() -> None:
    with pytest.raises(Boom):
        async with transaction.atomic(using="other"):
            await Author.objects.using("other").acreate(name="lost")
            await Author.objects.acreate(name="kept")
            raise Boom

    assert await names() == {"kept"}
    assert await Author.objects.using("other").acount() == 0


async def test_overlapping_blocks_leave_exactly_the_rows_of_those_that_succeeded(
    many_connections: None,
) -> None:
    first_wrote, second_done = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            first_wrote.set()
            if connection.vendor != "sqlite":
                await second_done.wait()
            raise Boom

    async def succeeds() -> None:
        await first_wrote.wait()
        async with transaction.atomic():
            await Author.objects.acreate(name="kept")
        second_done.set()

    results = await asyncio.gather(fails(), succeeds(), return_exceptions=True)

    assert isinstance(results[0], Boom)
    assert await names() == {"kept"}


async def test_child_tasks_join_and_their_queries_run_one_at_a_time() -> None:
    running, most = 0, 0

    @database_sync_to_async
    def create(name: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        Author.objects.create(name=name)
        running -= 1

    with pytest.raises(Boom):
        async with transaction.atomic():
            await asyncio.gather(*(create(str(number)) for number in range(8)))
            assert await Author.objects.acount() == 8
            raise Boom

    assert most == 1
    assert await names() == set()


async def test_a_query_from_outside_an_open_nested_block_is_refused_and_names_both_tasks() -> None:
    nested_open, refused = asyncio.Event(), asyncio.Event()

    async def nest() -> None:
        async with transaction.atomic():
            nested_open.set()
            await refused.wait()
            await Author.objects.acreate(name="nested")

    async with transaction.atomic():
        child = asyncio.create_task(nest(), name="nesting")
        await nested_open.wait()
        with pytest.raises(
            TransactionManagementError, match=r"task '.*' is outside|task '.*', which is outside"
        ) as error:
            await Author.objects.acreate(name="mixed up")
        assert "'nesting'" in str(error.value)
        with pytest.raises(TransactionManagementError):
            await sync_to_async(Author.objects.create)(name="mixed up")
        with pytest.raises(TransactionManagementError):
            async with transaction.atomic():
                pass
        refused.set()
        await child

    assert await names() == {"nested"}


async def test_a_task_that_outlives_its_block_is_refused() -> None:
    block_ended = asyncio.Event()

    async def outlive() -> None:
        await block_ended.wait()
        with pytest.raises(TransactionManagementError, match="has ended"):
            await Author.objects.acreate(name="stray")
        with pytest.raises(TransactionManagementError, match="has ended"):
            await sync_to_async(Author.objects.create)(name="stray")
        with pytest.raises(TransactionManagementError, match="has ended"):
            async with transaction.atomic():
                pass

    async with transaction.atomic():
        child = asyncio.create_task(outlive())
    block_ended.set()
    await child

    assert await names() == set()


async def test_a_block_that_ends_before_one_inside_it_is_rolled_back_and_says_so() -> None:
    nested_open, outer_ended = asyncio.Event(), asyncio.Event()

    async def nest() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="inner")
            nested_open.set()
            await outer_ended.wait()

    with pytest.raises(TransactionManagementError, match="still open"):
        async with transaction.atomic():
            await Author.objects.acreate(name="outer")
            child = asyncio.create_task(nest())
            await nested_open.wait()
    outer_ended.set()
    with pytest.raises(TransactionManagementError, match="around it"):
        await child

    assert await names() == set()


async def test_a_block_holds_one_lease_and_gives_it_back() -> None:
    async with transaction.atomic():
        await Author.objects.acreate(name="one")
        stats = get_pool().get_stats()
        assert stats["pool_size"] - stats["pool_available"] == 1

    stats = get_pool().get_stats()
    assert stats["pool_size"] == stats["pool_available"]


async def test_one_atomic_object_may_serve_several_tasks(many_connections: None) -> None:
    shared = transaction.atomic()
    entered, failed = asyncio.Event(), asyncio.Event()

    async def fails() -> None:
        await entered.wait()
        async with shared:
            await Author.objects.using("default").afirst()
            raise Boom

    async def succeeds() -> None:
        async with shared:
            entered.set()
            if connection.vendor != "sqlite":  # there, two blocks cannot be open at once
                await failed.wait()
            await Author.objects.acreate(name="kept")

    failing, succeeding = asyncio.create_task(fails()), asyncio.create_task(succeeds())
    with pytest.raises(Boom):
        await failing
    failed.set()
    await succeeding

    assert await names() == {"kept"}


def test_an_async_signal_receiver_under_a_sync_parent_runs_in_the_turn_of_its_sender() -> None:
    seen: list[int] = []

    async def receiver(**_: object) -> None:
        seen.append(await Author.objects.acount())

    post_save.connect(receiver, sender=Author)
    try:
        async_to_sync(Author(name="saved").asave)()
    finally:
        post_save.disconnect(receiver, sender=Author)

    assert seen == [1]


async def test_a_task_left_behind_by_a_worker_thread_is_rolled_back(caplog: pytest.LogCaptureFixture) -> None:
    release, left = asyncio.Event(), []

    async def hold(wrote: asyncio.Event) -> None:
        async with transaction.atomic():
            await Publisher.objects.acreate(name="lost")
            wrote.set()
            await release.wait()

    async def main() -> None:
        wrote = asyncio.Event()
        left.append(asyncio.create_task(hold(wrote)))
        await wrote.wait()

    await sync_to_async(lambda: async_to_sync(main)())()
    release.set()
    await asyncio.gather(*left, return_exceptions=True)
    await sync_to_async(Publisher.objects.create)(name="kept")

    assert "async_to_sync() returned while" in caplog.text
    assert [publisher.name async for publisher in Publisher.objects.all()] == ["kept"]


# on_commit


async def test_a_callback_of_a_synchronous_savepoint_goes_with_it() -> None:
    calls: list[str] = []

    def fail() -> None:
        with django_transaction.atomic():
            transaction.on_commit(lambda: calls.append("inner"))
            raise Boom

    async with transaction.atomic():
        with pytest.raises(Boom):
            await database_sync_to_async(fail)()
        await database_sync_to_async(lambda: transaction.on_commit(lambda: calls.append("outer")))()

    assert calls == ["outer"]


async def test_callbacks_run_in_order_after_the_outermost_commit() -> None:
    calls: list[str] = []

    async def later() -> None:
        calls.append(f"async, {await Author.objects.acount()} rows")

    async with transaction.atomic():
        async with transaction.atomic():
            transaction.on_commit(lambda: calls.append(f"sync, {Author.objects.count()} rows"))
            await Author.objects.acreate(name="kept")
        transaction.on_commit(later)
        assert calls == []

    assert calls == ["sync, 1 rows", "async, 1 rows"]


async def test_callbacks_of_a_rolled_back_block_never_run() -> None:
    calls: list[str] = []
    async with transaction.atomic():
        with pytest.raises(Boom):
            async with transaction.atomic():
                transaction.on_commit(lambda: calls.append("inner"))
                raise Boom
        transaction.on_commit(lambda: calls.append("outer"))

    assert calls == ["outer"]


async def test_a_robust_callback_is_logged_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []

    async def fail() -> None:
        raise Boom

    async with transaction.atomic():
        transaction.on_commit(fail, robust=True)
        transaction.on_commit(lambda: calls.append("next"))

    assert calls == ["next"]
    assert "after the commit" in caplog.text


async def test_an_error_in_a_callback_is_raised_and_the_rows_stay() -> None:
    async def fail() -> None:
        raise Boom

    with pytest.raises(Boom):
        async with transaction.atomic():
            await Author.objects.acreate(name="kept")
            transaction.on_commit(fail)

    assert await names() == {"kept"}


async def test_callbacks_run_also_when_the_task_is_cancelled_during_the_commit() -> None:
    started, finish, calls = asyncio.Event(), asyncio.Event(), []

    async def slow() -> None:
        started.set()
        await finish.wait()
        calls.append("slow")

    async def work() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="kept")
            transaction.on_commit(slow)
            transaction.on_commit(lambda: calls.append("next"))

    task = asyncio.create_task(work())
    await started.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    finish.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert calls == ["slow", "next"]
    assert await names() == {"kept"}


async def test_outside_a_block_a_callback_runs_at_once() -> None:
    ran = asyncio.Event()

    async def callback() -> None:
        ran.set()

    transaction.on_commit(callback)
    await ran.wait()


def test_under_a_sync_parent_the_block_is_part_of_its_transaction() -> None:
    calls: list[str] = []

    async def note() -> None:
        calls.append("committed")

    async def work() -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            transaction.on_commit(note)

    with pytest.raises(Boom), django_transaction.atomic():
        async_to_sync(work)()
        assert Author.objects.count() == 1
        raise Boom
    assert calls == []
    assert Author.objects.count() == 0

    with django_transaction.atomic():
        async_to_sync(work)()
        assert calls == []
    assert calls == ["committed"]
    assert Author.objects.count() == 1


def test_under_a_sync_parent_sibling_blocks_wait_for_each_other() -> None:
    async def work(name: str, *, fail: bool) -> None:
        async with transaction.atomic():
            await Author.objects.acreate(name=name)
            await asyncio.sleep(0)
            await Author.objects.acreate(name=f"{name} too")
            if fail:
                raise Boom

    async def both() -> list[object]:
        return await asyncio.gather(work("lost", fail=True), work("kept", fail=False), return_exceptions=True)

    assert isinstance(async_to_sync(both)()[0], Boom)
    assert set(Author.objects.values_list("name", flat=True)) == {"kept", "kept too"}


@pytest.mark.parametrize("manager", [transaction.atomic, cursor])
def test_a_plain_with_statement_is_refused_with_a_remedy(manager: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match="use `async with`"), manager():
        pass


async def test_on_commit_refuses_the_result_of_its_callback() -> None:
    async def receipt() -> None: ...

    coroutine = receipt()
    with pytest.raises(TypeError, match="Pass the function, do not call it"):
        transaction.on_commit(coroutine)
    coroutine.close()


async def caught_integrity_error() -> None:
    with suppress(IntegrityError):
        await Tag.objects.acreate(name="taken")


async def caught_error_of_a_block_without_savepoint() -> None:
    with suppress(Boom):
        async with transaction.atomic(savepoint=False):
            raise Boom


async def set_rollback() -> None:
    await database_sync_to_async(django_transaction.set_rollback)(rollback=True)


@pytest.mark.parametrize("spoil", [caught_integrity_error, caught_error_of_a_block_without_savepoint, set_rollback])
async def test_no_callback_runs_after_a_rollback_that_raises_nothing(spoil: Callable[[], Any]) -> None:
    await Tag.objects.acreate(name="taken")
    calls: list[str] = []

    async with transaction.atomic():
        await Publisher.objects.acreate(name="lost")
        transaction.on_commit(lambda: calls.append("receipt"))
        await spoil()

    assert (await Publisher.objects.acount(), calls) == (0, [])


async def test_no_callback_of_a_savepoint_runs_that_was_rolled_back_silently() -> None:
    calls: list[str] = []

    async with transaction.atomic():
        async with transaction.atomic():
            await Publisher.objects.acreate(name="lost")
            transaction.on_commit(lambda: calls.append("lost"))
            await set_rollback()
        transaction.on_commit(lambda: calls.append("kept"))

    assert (await Publisher.objects.acount(), calls) == (0, ["kept"])


async def test_callbacks_run_in_order_wherever_they_were_registered() -> None:
    calls: list[int] = []

    async with transaction.atomic():
        transaction.on_commit(lambda: calls.append(1))
        await database_sync_to_async(lambda: transaction.on_commit(lambda: calls.append(2)))()
        transaction.on_commit(lambda: calls.append(3))

    assert calls == [1, 2, 3]


@pytest.mark.threads
@pytest.mark.usefixtures("many_connections")
async def test_a_cancellation_during_the_commit_outlasts_a_callback_that_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop, committing, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    commit = Guest.commit

    def slow(self: Guest, now: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(committing.set)
        go_on.wait(10)
        commit(self, now)

    def fail() -> None:
        raise Boom

    async def work() -> None:
        async with transaction.atomic():
            await Publisher.objects.acreate(name="kept")
            transaction.on_commit(fail)

    monkeypatch.setattr(Guest, "commit", slow)
    task = asyncio.create_task(work())
    await committing.wait()
    task.cancel()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert await Publisher.objects.acount() == 1
    assert "A callback failed after the commit of a cancelled task" in caplog.text


@pytest.mark.usefixtures("many_connections")
@pytest.mark.parametrize("fails", [False, True])
async def test_blocks_on_two_databases_may_end_in_the_order_they_began(fails: bool) -> None:  # noqa: FBT001
    rows = Publisher.objects.using("other")
    here, there = transaction.atomic("default"), transaction.atomic("other")
    await here.__aenter__()
    await there.__aenter__()
    await rows.acreate(name="before")
    await here.__aexit__(None, None, None)
    await rows.acreate(name="after")
    await there.__aexit__(*((Boom, Boom(), None) if fails else (None, None, None)))

    assert await rows.acount() == (0 if fails else 2)
    assert await Publisher.objects.acount() == 0  # and nothing is left in the context


async def test_in_atomic_block_is_true_inside_a_block() -> None:
    assert not transaction.in_atomic_block()
    async with transaction.atomic():
        assert transaction.in_atomic_block()
        assert not transaction.in_atomic_block("other")
        assert await asyncio.create_task(asyncio.to_thread(transaction.in_atomic_block))
    assert not transaction.in_atomic_block()


async def test_a_robust_callback_without_a_name_is_logged_in_synchronous_code(caplog: pytest.LogCaptureFixture) -> None:
    async def fail():
        raise ZeroDivisionError("It has failed.")

    def work():
        with django_transaction.atomic():
            transaction.on_commit(fail, robust=True)
            transaction.on_commit(functools.partial(divmod, 1, 0), robust=True)

    await database_sync_to_async(work)()
    assert caplog.text.count("in on_commit() during transaction") == 2
    assert "It has failed." in caplog.text
