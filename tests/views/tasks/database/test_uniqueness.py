"""Unique tasks: of those with one key, one is queued or running, whichever process asks."""

import asyncio
import threading
from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.db import transaction as django_transaction
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_orm import database_sync_to_async, transaction
from daf_views.tasks import task as declared
from daf_views.tasks.compat import InvalidTask, TaskResultStatus, task_enqueued
from daf_views.tasks.database import uniqueness
from daf_views.tasks.database.models import UniqueKey
from daf_views.tasks.testing import capture_tasks, run_eagerly
from tests.project import settings as project
from tests.views.tasks import jobs

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
in_threads = pytest.mark.skipif(project.DAF_TEST_DATABASE == "sqlite-memory", reason="it has one connection")


async def end(result, status=TaskResultStatus.SUCCESSFUL):
    await DBTaskResult.objects.filter(pk=result.id).aupdate(status=status)


@pytest.mark.parametrize("status", [TaskResultStatus.READY, TaskResultStatus.RUNNING])
async def test_one_that_is_queued_or_runs_is_returned(status):
    first = await jobs.unique.aenqueue("one")
    await end(first, status)
    again = await jobs.unique.aenqueue("one")
    assert (again.id, again.status) == (first.id, status)
    assert await DBTaskResult.objects.acount() == 1


@pytest.mark.parametrize("status", [TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED])
async def test_when_it_has_ended_another_is_enqueued(status):
    first = await jobs.unique.aenqueue("one")
    await end(first, status)
    second = await jobs.unique.aenqueue("one")
    assert second.id != first.id
    assert (await jobs.unique.aenqueue("one")).id == second.id


async def test_when_it_is_pruned_another_is_enqueued():
    await jobs.unique.aenqueue("one")
    await DBTaskResult.objects.all().adelete()
    assert (await jobs.unique.aenqueue("one")).status == TaskResultStatus.READY
    assert await DBTaskResult.objects.acount() == 1


async def test_arguments_are_the_same_however_they_are_passed():
    results = [
        await jobs.unique.aenqueue("one"),
        await jobs.unique.aenqueue(what="one"),
        await jobs.unique.aenqueue("one", times=1),
        await jobs.unique.using(priority=5).aenqueue("one"),
    ]
    assert len({result.id for result in results}) == 1
    others = [
        await jobs.unique.aenqueue("other"),
        await jobs.unique.aenqueue("one", times=2),
        await jobs.unique_with_context.aenqueue("one"),
    ]
    assert len({result.id for result in [*results, *others]}) == 4


async def test_a_function_names_the_key():
    first = await jobs.unique_by_what.aenqueue("one", 1)
    assert (await jobs.unique_by_what.aenqueue("one", 2)).args == first.args == ["one", 1]
    assert (await jobs.unique_by_what.aenqueue("two", 2)).id != first.id


async def test_wrong_arguments_are_a_type_error():
    with pytest.raises(TypeError, match="missing a required argument"):
        await jobs.unique.aenqueue()


def test_synchronous_code_may_ask():
    assert jobs.unique.enqueue("one").id == jobs.unique.enqueue("one").id


async def test_only_what_is_enqueued_is_told():
    seen = []

    def see(task_result, **_):
        seen.append(task_result.id)

    task_enqueued.connect(see)
    try:
        first = await jobs.unique.aenqueue("one")
        await jobs.unique.aenqueue("one")
    finally:
        task_enqueued.disconnect(see)
    assert seen == [first.id]


async def test_a_transaction_that_is_rolled_back_frees_its_key():
    with pytest.raises(LookupError):
        async with transaction.atomic():
            lost = await jobs.unique.aenqueue("one")
            assert (await jobs.unique.aenqueue("one")).id == lost.id
            raise LookupError
    assert (await jobs.unique.aenqueue("one")).id != lost.id
    assert await DBTaskResult.objects.acount() == 1


@in_threads
async def test_of_many_that_ask_at_once_one_enqueues():
    await end(await jobs.unique.aenqueue("ended"))
    for key in ("new", "ended"):
        barrier = threading.Barrier(4, timeout=20)

        def ask(key=key, barrier=barrier):
            barrier.wait()
            return jobs.unique.enqueue(key).id

        results = await asyncio.gather(*(database_sync_to_async(ask)() for _ in range(4)))
        assert len(set(results)) == 1
    assert await DBTaskResult.objects.filter(status=TaskResultStatus.READY).acount() == 2


@pytest.mark.postgresql
@pytest.mark.parametrize("is_rolled_back", [False, True])
async def test_an_enqueue_during_anothers_transaction_waits_for_its_end(is_rolled_back):
    has_enqueued, may_end = threading.Event(), threading.Event()

    def hold():
        with django_transaction.atomic():
            result = jobs.unique.enqueue("one")
            has_enqueued.set()
            may_end.wait(20)
            django_transaction.set_rollback(is_rolled_back)
            return result.id

    holding = asyncio.create_task(database_sync_to_async(hold)())
    await asyncio.to_thread(has_enqueued.wait, 20)
    asking = asyncio.create_task(jobs.unique.aenqueue("one"))
    while not await is_blocked():
        assert not asking.done()
        await asyncio.sleep(0.01)
    may_end.set()
    assert ((await asking).id == await holding) is not is_rolled_back
    assert await DBTaskResult.objects.acount() == 1


async def is_blocked():
    query = "SELECT 1 AS id FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    query += " AND datname = current_database()"  # other processes of the run have others
    return bool([row async for row in UniqueKey.objects.raw(query)])


async def test_keys_whose_tasks_have_ended_are_forgotten_after_an_hour():
    ended, queued, recent = [await jobs.unique.aenqueue(what) for what in ("ended", "queued", "recent")]
    for result in (ended, recent):
        await end(result)
    old = timezone.now() - timedelta(hours=2)
    await UniqueKey.objects.filter(task_id__in=[ended.id, queued.id]).aupdate(asked_at=old)
    await database_sync_to_async(uniqueness.forget_ended)()
    left = {str(key.task_id) async for key in UniqueKey.objects.all()}
    assert left == {queued.id, recent.id}
    await database_sync_to_async(uniqueness.forget_ended)()
    assert (await jobs.unique.aenqueue("queued")).id == queued.id


async def test_a_backend_without_it_refuses_a_unique_task():
    with pytest.raises(InvalidTask, match=r"jobs\.unique is unique, which the backend 'default' does not support"):
        await jobs.unique.using(backend="default").aenqueue("one")


def test_and_so_does_the_check(monkeypatch):
    monkeypatch.setattr("daf_views.tasks.checks.unique_tasks", [jobs.unique.using(backend="default")])
    [message] = [message for message in run_checks(tags=["daf_views"]) if message.id == "daf_views.E015"]
    assert message.msg.startswith("tests.views.tasks.jobs.unique is unique, which its backend 'default'")
    assert jobs.unique in declared.unique_tasks


async def test_captured_tasks_are_unique_too():
    with capture_tasks() as tasks:
        first = await jobs.unique_by_what.aenqueue("one", 1)
        assert (await jobs.unique_by_what.aenqueue("one", 2)).id == first.id
        await tasks.run()
        assert (await jobs.unique_by_what.aenqueue("one", 3)).id != first.id
    with run_eagerly():
        await jobs.unique_by_what.aenqueue("one", 4)
        await jobs.unique_by_what.aenqueue("one", 5)
    assert jobs.done == [1, 4, 5]
