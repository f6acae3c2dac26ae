"""``daf_worker``: the tasks of the database, many at a time, none lost with a worker."""

import asyncio
import logging
import threading
import time
from datetime import timedelta
from importlib import import_module
from uuid import uuid4

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_orm import allow_blocking, database_sync_to_async, get_pool
from daf_orm._pool.process_pool import reset_pool
from daf_views.asgi import current_drain
from daf_views.tasks.compat import TaskResultStatus, task_finished, task_started, tasks_logger
from daf_views.tasks.database import worker as working_module
from daf_views.tasks.database.models import Worker
from daf_views.tasks.database.queue import LOST, PREFIX, TaskQueue
from daf_views.tasks.database.worker import DatabaseWorker
from daf_views.tasks.notifier import flush
from tests.project import settings as project
from tests.project.library.models import Author
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

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.skipif(project.DAF_TEST_DATABASE == "sqlite-memory", reason="no other thread can see it"),
]


async def test_many_tasks_run_at_the_same_time_and_no_more_than_that(working):
    results = [await on_database(jobs.wait).aenqueue(number) for number in range(3)]
    working(make_queue(concurrency=2))
    assert [await jobs.started.get() for _ in range(2)] == [0, 1]
    assert (await row_of(results[0])).worker_ids[-1].startswith(PREFIX)
    assert (await row_of(results[2])).status == TaskResultStatus.READY
    jobs.go_on.set()
    assert [(await finished(result)).status for result in results] == [TaskResultStatus.SUCCESSFUL] * 3


async def test_a_synchronous_task_runs_and_may_query(working):
    working()
    row = await finished(await on_database(jobs.note_in_thread).aenqueue("hello"))
    assert (row.status, jobs.done) == (TaskResultStatus.SUCCESSFUL, ["hello"])


async def test_more_synchronous_tasks_than_the_pool_has_connections_all_run(working):
    tasks = 2 * get_pool().max_size
    results = [await on_database(jobs.note_in_thread).aenqueue(number) for number in range(tasks)]
    working(make_queue(concurrency=tasks))
    assert {(await finished(result)).status for result in results} == {TaskResultStatus.SUCCESSFUL}


async def test_a_task_is_tried_by_its_policy(working):
    working()
    row = await finished(await on_database(jobs.times_out_then_raises_then_succeeds).aenqueue("key"))
    assert (row.status, row.return_value, row.traceback) == (TaskResultStatus.SUCCESSFUL, 2, "")
    assert (len(row.worker_ids), await Author.objects.filter(name="key").acount()) == (3, 1)


async def test_a_task_that_never_succeeds_fails_after_its_last_attempt(working):
    working()
    row = await finished(await on_database(jobs.fail_always).aenqueue())
    assert (row.status, row.exception_class_path) == (TaskResultStatus.FAILED, "builtins.LookupError")
    assert jobs.done == ["tried"] * 4


async def test_only_chosen_exceptions_are_tried_again(working):
    working()
    row = await finished(
        await on_database(jobs.fail_in_order).aenqueue(
            *("ConnectionResetError", "TimeoutError", "LookupError", "never")
        )
    )
    assert (row.status, row.exception_class_path) == (TaskResultStatus.FAILED, "builtins.LookupError")
    assert jobs.done == ["ConnectionResetError", "TimeoutError", "LookupError"]


async def test_a_pause_is_kept_in_the_database_and_takes_no_place(working):
    failed = await on_database(jobs.fail_with_a_long_pause).aenqueue()
    working(make_queue(concurrency=1))
    await finished(await on_database(jobs.note).aenqueue("meanwhile"))
    row = await row_of(failed)
    assert (row.status, row.exception_class_path) == (TaskResultStatus.READY, "builtins.LookupError")
    assert row.run_after > timezone.now() + timedelta(seconds=400)


@pytest.mark.parametrize(
    "task", [jobs.cancel_itself, jobs.leave, jobs.interrupt, jobs.raise_oddly, jobs.await_what_is_cancelled]
)
async def test_an_exception_of_a_task_is_its_failure_and_does_not_end_the_worker(working, task):
    working()
    assert (await finished(await on_database(task).aenqueue())).status == TaskResultStatus.FAILED
    assert (await finished(await on_database(jobs.note).aenqueue("next"))).status == TaskResultStatus.SUCCESSFUL


async def test_signals_are_sent_and_a_task_may_have_its_context(working):
    seen = []

    def see(signal, task_result, **_):
        seen.append((signal is task_finished, task_result.status, task_result.attempts))

    for signal in (task_started, task_finished):
        signal.connect(see)
    try:
        working()
        await finished(await on_database(jobs.with_context).aenqueue("hello"))
        async with asyncio.timeout(20):
            while len(seen) < 2:  # the last is sent when the row has been written
                await asyncio.to_thread(flush)
                await asyncio.sleep(0)
    finally:
        for signal in (task_started, task_finished):
            signal.disconnect(see)
    assert seen == [(False, TaskResultStatus.RUNNING, 1), (True, TaskResultStatus.SUCCESSFUL, 1)]
    assert jobs.done == [(1, "hello")]


async def test_it_takes_the_queues_it_is_told_to():
    task = on_database(jobs.note)
    for name in ("default", "mail", "slow"):
        await task.using(queue_name=name).aenqueue(name)
    await jobs.note.using(backend="second").aenqueue("of another backend")

    def names(**queues):
        return [row.queue_name for row in make_queue(**queues).queues.of(DBTaskResult.objects.order_by("queue_name"))]

    def check():
        assert names(names=None) == ["default", "mail", "slow"]
        assert names(names=frozenset({"mail"})) == ["mail"]
        assert names(names=None, excluded=frozenset({"slow"})) == ["default", "mail"]

    await in_queue_thread(check)


async def test_a_batch_ends_when_nothing_is_due(working):
    result = await on_database(jobs.note).aenqueue("hello")
    await on_database(jobs.note).using(run_after=timezone.now() + timedelta(hours=1)).aenqueue("later")
    await working(batch=True).end
    assert (await row_of(result)).status == TaskResultStatus.SUCCESSFUL
    assert jobs.done == ["hello"]


async def test_it_ends_after_as_many_tasks_as_it_may_run(working):
    for number in range(3):
        await on_database(jobs.note).aenqueue(number)
    await working(max_tasks=2).end
    assert jobs.done == [0, 1]


# The end


async def test_a_drain_waits_for_what_runs_and_takes_no_more(working):
    first = await on_database(jobs.wait).aenqueue("first")
    worker = working(make_queue(concurrency=1))
    await jobs.started.get()
    second = await on_database(jobs.wait).aenqueue("second")
    current_drain().request()
    await worker.end
    settling = asyncio.create_task(current_drain().settle(10))
    await asyncio.sleep(0)
    jobs.go_on.set()
    await settling
    assert (await row_of(first)).status == TaskResultStatus.SUCCESSFUL
    assert (await row_of(second)).status == TaskResultStatus.READY


@pytest.mark.parametrize("is_hurried", [False, True])
async def test_a_task_that_does_not_end_in_time_is_requeued_as_if_it_had_not_started(working, is_hurried, caplog):
    result = await on_database(jobs.wait).aenqueue()
    worker = working()
    await jobs.started.get()
    current_drain().request()
    await worker.end
    if is_hurried:
        worker.hurry()
    await current_drain().settle(30 if is_hurried else 0.01)
    row = await row_of(result)
    assert (row.status, row.worker_ids) == (TaskResultStatus.READY, [])
    assert "re-queues a task that it had started: tests.views.tasks.jobs.wait" in caplog.text


async def test_a_task_that_ignores_its_cancellation_is_left_to_the_end_of_the_lease(working, monkeypatch, caplog):
    monkeypatch.setattr(working_module, "GRACE", 0.01)
    result = await on_database(jobs.stubborn).aenqueue()
    worker = working()
    await jobs.started.get()
    current_drain().request()
    await worker.end
    await current_drain().settle(0.01)
    assert (await row_of(result)).status == TaskResultStatus.RUNNING
    assert await Worker.objects.acount() == 1
    await Worker.objects.all().adelete()
    assert "a task has not ended: tests.views.tasks.jobs.stubborn" in caplog.text


async def test_a_database_that_does_not_answer_keeps_no_process_from_its_end(working, monkeypatch, caplog):
    monkeypatch.setattr(working_module, "GRACE", 0.05)
    unregister, may_answer = TaskQueue.unregister, threading.Event()

    def unregister_late(self):
        may_answer.wait(10)
        unregister(self)

    monkeypatch.setattr(TaskQueue, "unregister", unregister_late)
    worker = working()
    await finished(await on_database(jobs.note).aenqueue("it has begun"))
    assert not worker.is_left_running
    current_drain().request()
    await worker.end
    await current_drain().settle(5)
    assert worker.is_left_running
    assert "could not unregister" in caplog.text
    may_answer.set()
    async with asyncio.timeout(10):
        while await Worker.objects.acount():
            await asyncio.sleep(0.01)  # the thread goes on


async def test_a_worker_that_is_cancelled_while_it_takes_loses_nothing(working, monkeypatch):
    result = await on_database(jobs.wait).aenqueue()
    queue, is_taking, may_take = make_queue(), threading.Event(), threading.Event()
    take = TaskQueue.take

    def take_slowly(self, count):
        is_taking.set()
        may_take.wait(10)
        return take(self, count)

    monkeypatch.setattr(TaskQueue, "take", take_slowly)
    worker = working(queue)
    await asyncio.to_thread(is_taking.wait, 10)
    worker.end.cancel()
    may_take.set()
    await jobs.started.get()
    await current_drain().settle(0.01)
    assert (await row_of(result)).status == TaskResultStatus.READY


# The database fails


async def test_it_asks_again_when_the_database_did_not_answer(working, monkeypatch, caplog):
    take, errors = TaskQueue.take, [OperationalError("gone")]

    def fail_once(self, count):
        if errors:
            raise errors.pop()
        return take(self, count)

    monkeypatch.setattr(TaskQueue, "take", fail_once)
    working()
    assert (await finished(await on_database(jobs.note).aenqueue("hello"))).status == TaskResultStatus.SUCCESSFUL
    await asyncio.to_thread(flush)
    assert "cannot take tasks" in caplog.text


async def test_an_outcome_is_written_when_the_database_takes_it(working, monkeypatch, caplog):
    succeed, errors = TaskQueue.succeed, [OperationalError("gone")]

    def fail_once(self, row, value):
        if errors:
            raise errors.pop()
        return succeed(self, row, value)

    monkeypatch.setattr(TaskQueue, "succeed", fail_once)
    working()
    assert (await finished(await on_database(jobs.note).aenqueue("hello"))).return_value == "hello"
    assert jobs.done == ["hello"]


@pytest.mark.postgresql
@pytest.mark.parametrize("task", [jobs.return_a_nul, jobs.raise_a_nul])
async def test_a_result_that_postgresql_cannot_store_is_a_failure(working, task):
    working()
    assert (await finished(await on_database(task).aenqueue())).status == TaskResultStatus.FAILED


# An answer is lost: the database has done what it was told to, and the connection breaks


async def test_tasks_whose_claim_was_not_answered_are_run(working, lose_answer):
    results = [await on_database(jobs.note).aenqueue(number) for number in range(3)]
    lost = lose_answer(BaseDatabaseWrapper, "_commit")
    working()
    for result in results:
        row = await finished(result)
        assert (row.status, len(row.worker_ids)) == (TaskResultStatus.SUCCESSFUL, 1)
    assert lost.is_set()
    assert sorted(jobs.done) == [0, 1, 2]


async def test_a_claim_that_was_not_answered_is_returned_before_a_batch_ends(working, lose_answer):
    result = await on_database(jobs.note).aenqueue("hello")
    lose_answer(BaseDatabaseWrapper, "_commit")
    await working(batch=True).end
    assert (await row_of(result)).status == TaskResultStatus.SUCCESSFUL


async def test_a_claim_that_commits_later_than_it_was_asked_for_is_found(caplog):
    result = await on_database(jobs.note).aenqueue("hello")
    queue = make_queue()
    await in_queue_thread(queue.register)
    started = {"status": TaskResultStatus.RUNNING, "started_at": timezone.now(), "worker_ids": [queue.worker_id]}
    await DBTaskResult.objects.filter(pk=result.id).aupdate(**started)  # by a COMMIT that it takes for lost
    assert await in_queue_thread(queue.has_lost)
    await in_queue_thread(queue.recover)
    row = await row_of(result)
    assert (row.status, row.worker_ids) == (TaskResultStatus.READY, [])
    assert "The response to a claim was lost" in caplog.text
    await in_queue_thread(queue.unregister)


async def test_a_task_that_could_not_be_put_off_takes_no_other_with_it(lose_answer):
    """Steps after the COMMIT may fail, too."""
    unknown, known = [await on_database(jobs.note).aenqueue(number) for number in range(2)]
    await DBTaskResult.objects.filter(pk=unknown.id).aupdate(task_path="tests.views.tasks.jobs.newer")
    queue = make_queue()
    await in_queue_thread(queue.register)
    lose_answer(TaskQueue, "give_back")
    with pytest.raises(OperationalError):
        await in_queue_thread(queue.take, 2)
    [claim] = (await in_queue_thread(queue.take, 2)).claims
    assert str(claim.row.pk) == known.id
    await in_queue_thread(queue.unregister)


async def test_tasks_that_it_runs_are_not_returned_when_a_claim_is_in_doubt(lose_answer):
    held, other = [await on_database(jobs.note).aenqueue(number) for number in range(2)]
    queue = make_queue()
    await in_queue_thread(queue.register)
    [claim] = (await in_queue_thread(queue.take, 1)).claims
    lose_answer(BaseDatabaseWrapper, "_commit")
    with pytest.raises(OperationalError):
        await in_queue_thread(queue.take, 1)
    assert (await row_of(other)).status == TaskResultStatus.RUNNING
    await in_queue_thread(queue.unregister)
    assert [(await row_of(result)).status for result in (held, other)] == ["RUNNING", "READY"]
    assert await in_queue_thread(queue.succeed, claim.row, "held")


async def test_a_result_whose_writing_was_not_answered_is_told_once(working, lose_answer):
    seen = []

    def see(task_result, **_):
        seen.append(task_result.status)

    lost = lose_answer(TaskQueue, "_settle")
    task_finished.connect(see)
    try:
        working()
        row = await finished(await on_database(jobs.note).aenqueue("hello"))
        await finished_soon(lambda: seen)
    finally:
        task_finished.disconnect(see)
    assert lost.is_set()
    assert (row.return_value, seen) == ("hello", [TaskResultStatus.SUCCESSFUL])


async def test_a_retry_whose_writing_was_not_answered_is_one_retry(working, lose_answer):
    lose_answer(TaskQueue, "try_again")
    working()
    row = await finished(await on_database(jobs.fail_always).aenqueue())
    assert (row.status, jobs.done) == (TaskResultStatus.FAILED, ["tried"] * 4)


@pytest.mark.parametrize("name", ["beat", "register"])
async def test_a_heartbeat_that_was_not_answered_costs_no_task(working, lose_answer, name):
    queue = make_queue(lease=0.3)
    working(queue)
    await finished(await on_database(jobs.note).aenqueue("it has begun"))
    lost = lose_answer(TaskQueue, name)
    if name == "register":
        await Worker.objects.all().adelete()
    await finished_soon(lost.is_set)
    assert (await finished(await on_database(jobs.note).aenqueue("next"))).status == TaskResultStatus.SUCCESSFUL
    await Worker.objects.exclude(pk=queue.worker_id).adelete()  # registered without an answer: it expires


async def test_a_task_that_goes_back_at_the_end_without_an_answer_has_gone_back(working, lose_answer):
    result = await on_database(jobs.wait).aenqueue()
    worker = working()
    await jobs.started.get()
    lose_answer(TaskQueue, "give_back")
    current_drain().request()
    await worker.end
    await current_drain().settle(0.01)
    assert (await row_of(result)).status == TaskResultStatus.READY


# Other workers


async def test_tasks_of_a_lost_worker_are_requeued_and_its_late_writes_do_not_count(caplog):
    result = await on_database(jobs.note).aenqueue("hello")
    dead, alive = make_queue(), make_queue()
    [lost] = await taken(dead)
    await expire(dead)
    await in_queue_thread(alive.register)
    await in_queue_thread(alive.recover)
    assert "its task was re-queued: tests.views.tasks.jobs.note" in caplog.text
    [claim] = (await in_queue_thread(alive.take, 1)).claims
    assert not await in_queue_thread(dead.succeed, lost.row, "from the dead")
    assert not await in_queue_thread(dead.give_back, lost.row)
    assert not await in_queue_thread(dead.beat)
    assert await in_queue_thread(alive.succeed, claim.row, "hello")
    row = await row_of(result)
    assert (row.return_value, row.worker_ids) == ("hello", [dead.worker_id, alive.worker_id])
    await in_queue_thread(alive.unregister)


async def test_tasks_of_living_and_of_other_workers_are_left_alone():
    results = [await on_database(jobs.note).aenqueue(number) for number in range(2)]
    alive, other = make_queue(), make_queue()
    await taken(alive)
    [row] = await database_sync_to_async(list)(DBTaskResult.objects.ready())
    await in_queue_thread(row.claim, "a worker of the engine's own")
    await in_queue_thread(other.recover)
    assert [(await row_of(result)).status for result in results] == [TaskResultStatus.RUNNING] * 2
    await in_queue_thread(alive.unregister)


async def test_a_task_that_is_the_end_of_its_workers_is_given_up():
    result = await on_database(jobs.note).aenqueue("hello")
    for _ in range(LOST + 1):
        queue = make_queue()
        assert len(await taken(queue)) == 1
        await expire(queue)
        await in_queue_thread(make_queue().recover)
    row = await row_of(result)
    assert (row.status, len(row.worker_ids)) == (TaskResultStatus.FAILED, LOST + 1)
    assert row.exception_class_path == "daf_views.exceptions.WorkerLostError"


async def test_of_tasks_that_were_lost_together_one_at_a_time_gets_the_last_chance():
    """So that the one that ends its workers fails, and its neighbours do not."""
    for number in range(3):
        await on_database(jobs.note).aenqueue(number)
    for _ in range(LOST):
        queue = make_queue()
        assert len(await taken(queue, 3)) == 3
        await expire(queue)
        await in_queue_thread(make_queue().recover)
    queue = make_queue()
    assert len(await taken(queue, 3)) == 1
    assert await DBTaskResult.objects.filter(status=TaskResultStatus.READY, run_after__gt=timezone.now()).acount() == 2
    await DBTaskResult.objects.filter(status=TaskResultStatus.READY).aupdate(run_after=timezone.now())
    await expire(queue)
    await in_queue_thread(make_queue().recover)
    assert await DBTaskResult.objects.filter(status=TaskResultStatus.FAILED).acount() == 1
    assert await DBTaskResult.objects.filter(status=TaskResultStatus.READY).acount() == 2


async def test_a_worker_that_was_considered_lost_stops_tasks_that_others_run_now(working, caplog):
    result = await on_database(jobs.wait).aenqueue("first")
    queue = make_queue(lease=1.0)
    working(queue)
    await jobs.started.get()
    name = queue.worker_id
    await Worker.objects.filter(pk=name).adelete()
    await jobs.started.get()  # it is run again, here or elsewhere
    row = await row_of(result)
    assert name != queue.worker_id
    assert row.worker_ids == [name, queue.worker_id]
    jobs.go_on.set()
    await finished(result)
    assert jobs.done == ["first"]
    await asyncio.to_thread(flush)
    assert "The worker missed its heartbeats" in caplog.text


async def test_a_worker_lives_while_a_task_blocks_its_event_loop(working, monkeypatch):
    beat, has_beaten = TaskQueue.beat, threading.Event()

    def beat_and_tell(self):
        has_beaten.set()
        return beat(self)

    monkeypatch.setattr(TaskQueue, "beat", beat_and_tell)
    working(make_queue(lease=0.3))
    await finished(await on_database(jobs.note).aenqueue("it has begun"))
    has_beaten.clear()
    with allow_blocking(reason="as tasks do that should not"):
        assert has_beaten.wait(10)


async def test_of_many_workers_each_task_has_one():
    for number in range(40):
        await on_database(jobs.note).aenqueue(number)
    queues = [make_queue() for _ in range(4)]

    def take_all(queue):
        queue.register()
        rows = []
        for _ in range(100):
            rows += [claim.row.pk for claim in queue.take(3).claims]
        queue.unregister()
        return rows

    rows = await asyncio.gather(*(database_sync_to_async(take_all)(queue) for queue in queues))
    taken_rows = [row for each in rows for row in each]
    assert len(taken_rows) == len(set(taken_rows)) == 40


# Found in reviews


async def test_an_idle_worker_asks_no_more_often_than_it_should(working, monkeypatch):
    take, asked = TaskQueue.take, []

    def counted(self, count):
        asked.append(count)
        return take(self, count)

    monkeypatch.setattr(TaskQueue, "take", counted)
    worker = DatabaseWorker(make_queue(), interval=1000)
    running = asyncio.create_task(worker.run())
    await finished_soon(lambda: asked)
    for _ in range(5):
        await Author.objects.acount()  # time for one that does not wait
    assert len(asked) <= (
        2 if connection.vendor == "postgresql" else 1
    )  # PostgreSQL: a second look when it begins to listen
    current_drain().request()
    await running


@pytest.fixture
async def poisoned():
    """A due task, before all others, whose module raises something when it is imported."""
    result = await on_database(jobs.note).using(priority=100).aenqueue("poison")
    await DBTaskResult.objects.filter(pk=result.id).aupdate(task_path="tests.views.tasks.poison.task")
    return result


@pytest.mark.parametrize("batch", [False, True])
async def test_a_task_that_cannot_be_loaded_keeps_no_other_from_being_run(working, poisoned, batch, caplog):
    good = await on_database(jobs.note).aenqueue("good")
    worker = working(make_queue(concurrency=1), batch=batch)
    assert (await finished(good)).status == TaskResultStatus.SUCCESSFUL
    assert (await row_of(poisoned)).status == TaskResultStatus.READY
    assert "KeyError: 'poison'" in caplog.text
    if batch:
        await worker.end


async def test_a_task_lost_with_a_worker_that_cannot_be_loaded_keeps_no_other_from_being_run(working, poisoned):
    dead = make_queue()
    await in_queue_thread(dead.register)
    await DBTaskResult.objects.filter(pk=poisoned.id).aupdate(
        status=TaskResultStatus.RUNNING, started_at=timezone.now(), worker_ids=[dead.worker_id] * 9
    )
    await expire(dead)
    await in_queue_thread(make_queue().recover)
    assert (await row_of(poisoned)).status == TaskResultStatus.READY  # others may know it


async def test_rows_of_an_alias_that_is_gone_are_no_business_of_others():
    dead = make_queue()
    await on_database(jobs.note).aenqueue("hello")
    await taken(dead)
    await expire(dead)
    await DBTaskResult.objects.aupdate(backend_name="gone")
    await Worker.objects.aupdate(backend_name="gone")
    await in_queue_thread(make_queue().recover)
    assert (await DBTaskResult.objects.aget()).status == TaskResultStatus.RUNNING
    await Worker.objects.all().adelete()


@pytest.mark.parametrize(
    "task", [jobs.raise_a_surrogate, jobs.return_a_huge_number, jobs.return_nan, jobs.raise_generator_exit]
)
async def test_a_result_that_cannot_be_written_is_a_failure(working, task, caplog):
    caplog.set_level(logging.CRITICAL + 1, tasks_logger.name)  # xdist cannot pass on what it says of a lone surrogate
    working()
    assert (await finished(await on_database(task).aenqueue())).status == TaskResultStatus.FAILED


async def test_a_task_that_cancels_itself_as_it_returns_has_failed(working):
    working()
    assert (await finished(await on_database(jobs.cancel_at_its_end).aenqueue())).status == TaskResultStatus.FAILED


async def test_outcomes_are_written_before_the_worker_exits(working, monkeypatch):
    succeed, is_writing, may_write = TaskQueue.succeed, threading.Event(), threading.Event()

    def succeed_slowly(self, row, value):
        is_writing.set()
        may_write.wait(10)
        return succeed(self, row, value)

    monkeypatch.setattr(TaskQueue, "succeed", succeed_slowly)
    results = [await on_database(jobs.note).aenqueue(number) for number in range(5)]
    worker = working()
    await asyncio.to_thread(is_writing.wait, 10)
    await finished_soon(lambda: len(jobs.done) == 5)
    current_drain().request()
    worker.hurry()
    may_write.set()
    await worker.end
    await current_drain().settle(0.01)
    assert {(await row_of(result)).status for result in results} == {TaskResultStatus.SUCCESSFUL}


async def test_a_task_that_raises_while_it_is_cancelled_at_the_end_is_requeued(working):
    result = await on_database(jobs.raise_when_cancelled).aenqueue()
    worker = working()
    await jobs.started.get()
    current_drain().request()
    await worker.end
    await current_drain().settle(0.01)
    row = await row_of(result)
    assert (row.status, row.worker_ids) == (TaskResultStatus.READY, [])


async def test_a_worker_without_its_row_takes_nothing_until_it_has_registered_again():
    await on_database(jobs.note).aenqueue("hello")
    queue = make_queue()
    await in_queue_thread(queue.register)
    await Worker.objects.all().adelete()
    assert (await in_queue_thread(queue.take, 1)).claims == []


async def test_after_a_lock_that_was_longer_than_the_lease_no_worker_is_considered_lost(working, monkeypatch):
    beat, may_beat, is_waiting = TaskQueue.beat, threading.Event(), threading.Semaphore(0)
    recovered = []
    monkeypatch.setattr(TaskQueue, "recover", lambda self: recovered.append(self))

    def beat_late(self):
        is_waiting.release()
        may_beat.wait(10)
        return beat(self)

    monkeypatch.setattr(TaskQueue, "beat", beat_late)
    queue = make_queue(lease=0.6)
    working(queue)
    await asyncio.to_thread(is_waiting.acquire)
    await asyncio.to_thread(time.sleep, 1.0)  # longer than the lease, which is the point
    may_beat.set()
    await asyncio.to_thread(is_waiting.acquire)  # the next beat: the first has been judged by
    assert recovered == []


# Tasks of newer code


@pytest.fixture
async def unknown():
    result = await on_database(jobs.note).aenqueue("hello")
    await DBTaskResult.objects.aupdate(task_path="tests.views.tasks.jobs.newer")
    return result


async def test_a_task_that_is_not_known_is_put_off(unknown, caplog):
    queue = make_queue()
    assert await taken(queue) == []
    row = await row_of(unknown)
    assert (row.status, row.worker_ids) == (TaskResultStatus.READY, [])
    assert row.run_after > timezone.now()
    assert "cannot load it" in caplog.text
    await in_queue_thread(queue.unregister)


async def test_an_unknown_task_fails_after_an_hour(unknown, caplog):
    await DBTaskResult.objects.aupdate(enqueued_at=timezone.now() - timedelta(hours=2))
    queue = make_queue()
    assert await taken(queue) == []
    assert (await row_of(unknown)).exception_class_path == "builtins.ImportError"
    await in_queue_thread(queue.unregister)


# The database


class OursElsewhere:
    def db_for_write(self, model, **hints):
        return "other" if model._meta.app_label == "daf_tasks" else None


@pytest.mark.parametrize("is_wrong", [False, True])
def test_tables_in_two_databases_are_an_error(settings, is_wrong):
    settings.DATABASE_ROUTERS = [OursElsewhere()] if is_wrong else []
    messages = [message.msg for message in run_checks(tags=["daf_views"]) if message.id == "daf_views.E016"]
    wrong = "DATABASE_ROUTERS write django_tasks_database to 'default' and daf_tasks to 'other'"
    assert [message.startswith(wrong) for message in messages] == [True] * is_wrong


# The command


def run_command(**options):
    try:
        call_command(
            "daf_worker", **{"backend": "database", "queue_name": "*", "batch": True, "verbosity": 0, **options}
        )
    finally:
        reset_pool()


def test_the_command_runs_what_is_due():
    result = on_database(jobs.note).enqueue("hello")
    run_command()
    assert DBTaskResult.objects.get(pk=result.id).status == TaskResultStatus.SUCCESSFUL


def test_an_exception_that_stops_the_event_loop_gives_the_other_tasks_back():
    neighbour = on_database(jobs.wait).enqueue("neighbour")
    guilty = on_database(jobs.have_a_child_leave).enqueue()
    with pytest.raises(CommandError, match="stopped by SystemExit"):
        run_command(drain_timeout=0.01)
    row = DBTaskResult.objects.get(pk=neighbour.id)
    assert (row.status, row.worker_ids) == (TaskResultStatus.READY, [])
    row = DBTaskResult.objects.get(pk=guilty.id)
    assert (row.status, row.exception_class_path) == (TaskResultStatus.FAILED, "builtins.SystemExit")
    assert not Worker.objects.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "nowhere"}, "there is no 'nowhere' in TASKS, only default, second, database"),
        ({"backend": "default"}, "'default' is not one of django-tasks-db's"),
        ({"queue_name": ","}, "names no queue"),
        ({"queue_name": "default", "exclude_queues": "slow"}, r"write --queue-name=\* beside it"),
    ],
)
def test_the_command_says_what_is_wrong(options, message):
    with pytest.raises(CommandError, match=message):
        run_command(**options)


@pytest.mark.parametrize("argument", ["--concurrency=0", "--interval=0", "--heartbeat=nan", "--max-tasks=1.5"])
def test_the_command_refuses_numbers_that_are_none(argument):
    with pytest.raises(CommandError, match=argument.partition("=")[0]):
        call_command("daf_worker", argument)


def test_without_its_table_it_says_what_to_do(monkeypatch):
    def register(self):
        raise OperationalError("no such table: daf_tasks_worker")

    monkeypatch.setattr(TaskQueue, "register", register)
    with pytest.raises(CommandError, match=r"no such table.*Has `manage.py migrate` been run\?"):
        run_command()


def plan_of(queryset):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")  # the table is too small for it to pay
            cursor.execute(f"ANALYZE {DBTaskResult._meta.db_table}")
        return queryset.explain()


def end_many(number):
    """Write tasks that have ended, beside which those that run are few."""
    on_database(jobs.note).enqueue("x")
    row = DBTaskResult.objects.get()
    ended = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    ended |= {"status": TaskResultStatus.SUCCESSFUL}
    DBTaskResult.objects.bulk_create(DBTaskResult(**ended | {"id": uuid4()}) for _ in range(number))


def test_running_tasks_are_found_by_an_index():
    end_many(300)
    migration = import_module("daf_views.tasks.database.migrations.0003_running_index")
    with connection.schema_editor() as editor:
        migration.add(apps, editor)
    try:
        queue = make_queue()
        with transaction.atomic():
            assert migration.INDEX.name in plan_of(queue._running_rows())
    finally:
        with connection.schema_editor() as editor:
            migration.remove(apps, editor)
    with transaction.atomic():
        assert migration.INDEX.name not in plan_of(queue._running_rows())


@pytest.mark.parametrize("lost", [1, 20])
def test_the_recovery_asks_little_for_what_it_recovers(lost, django_assert_max_num_queries):
    for number in range(lost):
        on_database(jobs.note).enqueue(number)
    dead = make_queue()
    dead.register()
    assert len(dead.take(lost).claims) == lost
    Worker.objects.all().delete()
    with django_assert_max_num_queries(8 + lost):
        make_queue().recover()
    assert DBTaskResult.objects.filter(status=TaskResultStatus.READY).count() == lost


@pytest.mark.postgresql
def test_many_tasks_are_taken_by_as_many_queries_as_one(django_assert_max_num_queries):
    for number in range(20):
        on_database(jobs.note).enqueue(number)
    queue = make_queue()
    queue.register()
    with django_assert_max_num_queries(8):
        assert len(queue.take(20).claims) == 20
    queue.unregister()


def test_the_migrations_make_what_the_models_say():
    call_command("makemigrations", "daf_tasks", check=True, dry_run=True, verbosity=0)
