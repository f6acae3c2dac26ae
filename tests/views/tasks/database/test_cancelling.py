"""Cancelling a task: at once while it is queued, through its worker while it runs, and never twice."""

import asyncio
import threading

import pytest
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_orm import database_sync_to_async, transaction
from daf_views.asgi import current_drain
from daf_views.exceptions import TaskCancelledError
from daf_views.tasks.compat import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_finished,
)
from daf_views.tasks.database.models import Cancellation
from daf_views.tasks.notifier import flush
from daf_views.tasks.testing import capture_tasks
from tests.project import settings as project
from tests.views.tasks import jobs
from tests.views.tasks.database.workers import (
    expire,
    finished,
    finished_soon,
    in_queue_thread,
    make_queue,
    on_database,
    row_of,
    taken,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
in_threads = pytest.mark.skipif(project.DAF_TEST_DATABASE == "sqlite-memory", reason="no other thread can see it")
CANCELLED = "daf_views.exceptions.TaskCancelledError"


async def outcome(result):
    row = await row_of(result)
    return row.status, row.exception_class_path


async def test_a_queued_task_is_cancelled_at_once_and_told_of():
    seen = []

    def see(task_result, **_):
        seen.append((task_result.id, task_result.status))

    task_finished.connect(see)
    try:
        result = await on_database(jobs.note).aenqueue("never")
        assert await on_database(jobs.note).acancel(result.id)
        await asyncio.to_thread(flush)
    finally:
        task_finished.disconnect(see)
    await result.arefresh()
    assert (result.status, result.errors[0].exception_class) == (TaskResultStatus.FAILED, TaskCancelledError)
    assert "jobs.note, id" in result.errors[0].traceback
    assert seen == [(result.id, TaskResultStatus.FAILED)]
    assert not await on_database(jobs.note).acancel(result.id)


def test_synchronous_code_may_cancel():
    result = on_database(jobs.note).enqueue("never")
    assert task_backends["database"].cancel(result.id)
    assert not on_database(jobs.note).cancel(result.id)


async def test_a_delayed_task_is_cancelled():
    task = on_database(jobs.note).using(run_after=timezone.now().replace(year=2090))
    result = await task.aenqueue("never")
    assert await task.acancel(result.id)
    assert await outcome(result) == (TaskResultStatus.FAILED, CANCELLED)


async def test_a_task_that_this_process_does_not_know_is_cancelled():
    result = await on_database(jobs.note).aenqueue("never")
    await DBTaskResult.objects.aupdate(task_path="tests.views.tasks.jobs.newer")
    assert await task_backends["database"].acancel(result.id)
    assert await outcome(result) == (TaskResultStatus.FAILED, CANCELLED)


@pytest.mark.parametrize("result_id", ["00000000-0000-0000-0000-000000000000", "nonsense"])
async def test_an_unknown_task_is_an_error(result_id):
    with pytest.raises(TaskResultDoesNotExist):
        await on_database(jobs.note).acancel(result_id)


async def test_a_task_of_another_backend_is_an_error():
    result = await on_database(jobs.note).aenqueue("here")
    await DBTaskResult.objects.aupdate(backend_name="elsewhere")
    with pytest.raises(TaskResultDoesNotExist):
        await on_database(jobs.note).acancel(result.id)


async def test_a_backend_that_cannot_cancel_says_so():
    with pytest.raises(InvalidTask, match="'default' cannot cancel"):
        await jobs.note.acancel("id")


async def test_a_transaction_that_is_rolled_back_cancels_nothing():
    result = await on_database(jobs.note).aenqueue("runs")
    with pytest.raises(LookupError):
        async with transaction.atomic():
            assert await on_database(jobs.note).acancel(result.id)
            raise LookupError
    assert (await row_of(result)).status == TaskResultStatus.READY


async def test_captured_tasks_can_be_cancelled():
    with capture_tasks() as tasks:
        result = await jobs.note.aenqueue("never")
        assert await jobs.note.acancel(result.id)
        assert not await jobs.note.acancel(result.id)
        await tasks.run()
    assert (result.status, jobs.done) == (TaskResultStatus.FAILED, [])


# A worker has it


@in_threads
async def test_a_running_task_is_cancelled_and_its_neighbour_goes_on(working):
    results = [await on_database(jobs.wait_repeatably).aenqueue(number) for number in range(2)]
    working()
    assert {await jobs.started.get(), await jobs.started.get()} == {0, 1}
    assert await on_database(jobs.wait_repeatably).acancel(results[0].id)
    row = await finished(results[0])
    assert (row.status, row.exception_class_path, len(row.worker_ids)) == (TaskResultStatus.FAILED, CANCELLED, 1)
    jobs.go_on.set()
    assert (await finished(results[1])).status == TaskResultStatus.SUCCESSFUL
    assert jobs.done == [1]
    await finished_soon_without_requests()


async def finished_soon_without_requests():
    async with asyncio.timeout(20):
        while await Cancellation.objects.acount():
            await asyncio.sleep(0.01)


@in_threads
async def test_a_running_task_is_cancelled_while_its_worker_drains(working):
    result = await on_database(jobs.wait).aenqueue()
    worker = working()
    await jobs.started.get()
    current_drain().request()
    await worker.end
    settling = asyncio.create_task(current_drain().settle(20))
    assert await on_database(jobs.wait).acancel(result.id)
    await settling
    assert await outcome(result) == (TaskResultStatus.FAILED, CANCELLED)


@in_threads
@pytest.mark.parametrize(
    ("value", "outcome"),
    [("raise", (TaskResultStatus.FAILED, CANCELLED)), ("value", (TaskResultStatus.SUCCESSFUL, ""))],
)
async def test_a_cancelled_task_decides_its_outcome(working, value, outcome):
    """Its return value counts, because the work has been done; an error is no reason for another attempt."""
    result = await on_database(jobs.ignore_cancelling).aenqueue(value)
    working()
    await jobs.started.get()
    is_told = await on_database(jobs.ignore_cancelling).acancel(result.id)
    row = await finished(result)
    assert (row.status, row.exception_class_path) == outcome
    assert is_told or value == "value"  # its worker may be faster than the answer; then it has ended


@in_threads
async def test_synchronous_code_ends_before_its_task_is_cancelled(working):
    result = await on_database(jobs.hold_a_thread).aenqueue()
    worker = working()
    await asyncio.to_thread(jobs.started_in_thread.wait, 20)
    assert await on_database(jobs.hold_a_thread).acancel(result.id)
    await finished_soon(lambda: worker._cancelled)
    assert (await row_of(result)).status == TaskResultStatus.RUNNING
    jobs.release_thread.set()
    row = await finished(result)
    assert (row.status, jobs.done) == (TaskResultStatus.FAILED, ["released"])


@in_threads
async def test_one_that_goes_back_at_a_workers_end_is_cancelled_by_the_next(working):
    result = await on_database(jobs.wait).aenqueue()
    worker = working()
    await jobs.started.get()
    current_drain().request()
    await worker.end
    await current_drain().settle(0)
    await Cancellation.objects.acreate(task_id=result.id, requested_at=timezone.now())  # while it ran, a moment ago
    queue = make_queue()
    assert await taken(queue) == []
    assert await outcome(result) == (TaskResultStatus.FAILED, CANCELLED)
    assert await Cancellation.objects.acount() == 0
    await in_queue_thread(queue.unregister)


async def test_one_whose_worker_is_lost_is_cancelled_and_not_run_again():
    result = await on_database(jobs.note).aenqueue("never")
    dead = make_queue()
    await taken(dead)
    assert await on_database(jobs.note).acancel(result.id)
    await expire(dead)
    await in_queue_thread(make_queue().recover)
    assert await outcome(result) == (TaskResultStatus.FAILED, CANCELLED)


async def test_one_that_ends_before_its_worker_hears_of_it_has_its_result():
    result = await on_database(jobs.note).aenqueue("done")
    queue = make_queue()
    [claim] = await taken(queue)
    assert await on_database(jobs.note).acancel(result.id)
    assert await in_queue_thread(queue.succeed, claim.row, "done")
    assert await outcome(result) == (TaskResultStatus.SUCCESSFUL, "")
    await in_queue_thread(queue.recover)
    assert await Cancellation.objects.acount() == 0
    await in_queue_thread(queue.unregister)


async def test_one_that_ends_while_it_is_cancelled_was_not(monkeypatch):
    result = await on_database(jobs.note).aenqueue("done")
    queue = make_queue()
    [claim] = await taken(queue)
    bulk_create = type(Cancellation.objects.all()).bulk_create

    def end_first(self, *args, **kwargs):
        queue.succeed(claim.row, "done")
        return bulk_create(self, *args, **kwargs)

    monkeypatch.setattr(type(Cancellation.objects.all()), "bulk_create", end_first)
    assert not await on_database(jobs.note).acancel(result.id)
    await in_queue_thread(queue.unregister)


async def test_one_that_goes_back_while_it_is_cancelled_is_cancelled(monkeypatch):
    result = await on_database(jobs.note).aenqueue("never")
    queue = make_queue()
    [claim] = await taken(queue)
    bulk_create = type(Cancellation.objects.all()).bulk_create

    def go_back_first(self, *args, **kwargs):
        queue.give_back(claim.row)
        return bulk_create(self, *args, **kwargs)

    monkeypatch.setattr(type(Cancellation.objects.all()), "bulk_create", go_back_first)
    assert await on_database(jobs.note).acancel(result.id)
    assert await outcome(result) == (TaskResultStatus.FAILED, CANCELLED)
    await in_queue_thread(queue.unregister)


@in_threads
async def test_of_a_worker_that_takes_and_one_that_cancels_one_wins():
    for _ in range(10):
        result = await on_database(jobs.note).aenqueue("once")
        queue, barrier = make_queue(), threading.Barrier(2, timeout=20)
        await in_queue_thread(queue.register)

        def take(queue=queue, barrier=barrier):
            barrier.wait()
            return queue.take(1).claims

        def cancel(result=result, barrier=barrier):
            barrier.wait()
            return on_database(jobs.note).cancel(result.id)

        claims, is_cancelled = await asyncio.gather(database_sync_to_async(take)(), database_sync_to_async(cancel)())
        status, _ = await outcome(result)
        assert is_cancelled  # at once, or by a request
        assert (status == TaskResultStatus.RUNNING) == bool(claims)
        await DBTaskResult.objects.all().adelete()
        await in_queue_thread(queue.unregister)


async def test_a_worker_that_was_thought_dead_leaves_the_request_to_the_one_that_has_its_task():
    result = await on_database(jobs.note).aenqueue("x")
    thawed, other = make_queue(), make_queue()
    [stale] = await taken(thawed)
    await expire(thawed)
    await in_queue_thread(other.register)
    await in_queue_thread(other.recover)
    [claim] = (await in_queue_thread(other.take, 1)).claims
    assert await on_database(jobs.note).acancel(result.id)

    assert not await in_queue_thread(thawed.cancel, stale.row)
    assert await Cancellation.objects.acount() == 1
    assert await in_queue_thread(other.cancel, claim.row)
    assert await Cancellation.objects.acount() == 0
