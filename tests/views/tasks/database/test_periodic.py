"""Periodic tasks: each tick is fired once, whatever the number of workers, and missed ticks by one firing."""

import asyncio
import dataclasses
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import DatabaseError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_orm import database_sync_to_async
from daf_orm._pool.process_pool import reset_pool
from daf_views.tasks import cron, discovery, every
from daf_views.tasks import task as declared
from daf_views.tasks.compat import TaskResultStatus
from daf_views.tasks.database.models import PeriodicTask
from daf_views.tasks.database.periodic import MAX_PAUSE, PeriodicTasks
from daf_views.tasks.notifier import flush
from tests.project import settings as project
from tests.views.tasks import jobs
from tests.views.tasks.database.workers import finished_soon, in_queue_thread

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
in_threads = pytest.mark.skipif(project.DAF_TEST_DATABASE == "sqlite-memory", reason="no other thread can see it")


@pytest.fixture
def declare(monkeypatch):
    """Declare periodic tasks that only this test has."""
    tasks = {}
    monkeypatch.setattr(declared, "periodic_tasks", tasks)
    monkeypatch.setattr("daf_views.tasks.checks.periodic_tasks", tasks)
    monkeypatch.setattr("daf_views.tasks.database.periodic.periodic_tasks", tasks)

    def declare(task=jobs.tick, schedule=None, **options):
        options = {"backend": "database", "schedule": schedule or every(hours=1), **options}
        task = tasks[task.module_path] = dataclasses.replace(task, **options)
        return task

    return declare


async def fire(periodic=None):
    return await in_queue_thread((periodic or PeriodicTasks("database")).fire)


async def make_due(**ago):
    assert await PeriodicTask.objects.aupdate(due_at=timezone.now() - timedelta(**(ago or {"seconds": 1})))


async def enqueued():
    return await DBTaskResult.objects.acount()


async def test_a_new_schedule_is_due_at_its_next_tick(declare):
    declare(schedule=every(hours=1))
    assert [(await fire()).enqueued for _ in range(2)] == [0, 0]
    row = await PeriodicTask.objects.aget()
    assert timezone.now() < row.due_at <= timezone.now() + timedelta(hours=1)
    assert (row.due_at.minute, row.due_at.second, row.due_at.microsecond) == (0, 0, 0)
    assert str(row) == "tests.views.tasks.jobs.tick, every 3600 s"


async def test_a_tick_is_fired_once(declare):
    declare()
    await fire()
    await make_due()
    assert [(await fire()).enqueued for _ in range(3)] == [1, 0, 0]
    row = await DBTaskResult.objects.aget()
    assert (row.task_path, row.args_kwargs) == ("tests.views.tasks.jobs.tick", {"args": [], "kwargs": {}})
    assert (await PeriodicTask.objects.aget()).fired_at is not None


async def test_missed_ticks_are_made_up_by_one_firing(declare):
    declare(schedule=every(days=1))
    await fire()
    await make_due(days=3)
    assert [(await fire()).enqueued for _ in range(2)] == [1, 0]
    assert (await PeriodicTask.objects.aget()).due_at > timezone.now()


async def test_it_is_looked_at_again_when_the_next_is_due(declare):
    declare(schedule=every(hours=1))
    declare(jobs.later, schedule=every(days=366))
    await fire()
    assert (await fire()).pause <= MAX_PAUSE
    due_at = timezone.now() + timedelta(seconds=50)
    await PeriodicTask.objects.filter(task_path=jobs.tick.module_path).aupdate(due_at=due_at)
    pause = (await fire()).pause
    assert (due_at - timezone.now()).total_seconds() <= pause <= 50


@in_threads
async def test_of_many_workers_one_fires(declare):
    declare()
    await fire()
    for number in range(5):
        await make_due()
        barrier = threading.Barrier(4, timeout=20)

        def look(barrier=barrier):
            barrier.wait()
            return PeriodicTasks("database").fire().enqueued

        counts = await asyncio.gather(*(database_sync_to_async(look)() for _ in range(4)))
        assert sum(counts) == 1
        assert await enqueued() == number + 1


@in_threads
async def test_of_many_workers_one_writes_down_a_new_schedule(declare):
    declare()
    barrier = threading.Barrier(4, timeout=20)

    def look():
        barrier.wait()
        return PeriodicTasks("database").fire()

    await asyncio.gather(*(database_sync_to_async(look)() for _ in range(4)))
    assert await PeriodicTask.objects.acount() == 1


async def test_a_worker_that_dies_between_the_two_writes_has_fired_nothing(declare, monkeypatch):
    declare()
    await fire()
    await make_due()
    create = DBTaskResult.objects.create

    def die(**values):
        create(**values)
        raise OperationalError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(DBTaskResult.objects, "create", die)
        with pytest.raises(OperationalError):
            await fire()
    assert await enqueued() == 0
    assert (await fire()).enqueued == 1
    assert await enqueued() == 1


async def test_a_firing_whose_commit_was_not_answered_is_one_firing(declare, lose_answer):
    declare()
    await fire()
    await make_due()
    lost = lose_answer(BaseDatabaseWrapper, "_commit")
    with pytest.raises(DatabaseError):
        await fire()
    assert lost.is_set()
    await fire()
    assert await enqueued() == 1


async def test_one_that_cannot_be_enqueued_keeps_no_other_from_it(declare, caplog):
    declare(jobs.tick, unique=lambda: 1 / 0)
    declare(jobs.see_colour)
    await fire()
    await make_due()
    fired = await fire()
    assert fired.enqueued == 1
    assert fired.pause > 1  # it is not tried again and again
    assert "A periodic task cannot be enqueued: tests.views.tasks.jobs.tick" in caplog.text
    assert (await DBTaskResult.objects.aget()).task_path == "tests.views.tasks.jobs.see_colour"


async def test_a_unique_task_that_still_runs_is_not_enqueued_beside_itself(declare):
    declare(unique=True)
    await fire()
    for _ in range(2):
        await make_due()
        await fire()
    assert await enqueued() == 1
    await DBTaskResult.objects.aupdate(status=TaskResultStatus.SUCCESSFUL)
    await make_due()
    await fire()
    assert await enqueued() == 2


async def test_another_schedule_is_another_row_and_old_ones_are_forgotten_after_a_day(declare):
    declare(schedule=every(hours=1))
    await fire()
    declare(schedule=cron("0 3 * * *"))
    await fire()
    assert await PeriodicTask.objects.acount() == 2  # older code may still run beside
    await make_due(days=2)
    assert (await fire()).enqueued == 1
    assert [row.schedule async for row in PeriodicTask.objects.all()] == [str(cron("0 3 * * *"))]


async def test_a_clock_that_is_put_back_fires_no_tick_again(declare):
    declare(schedule=every(minutes=1))
    await fire()
    await PeriodicTask.objects.aupdate(due_at=datetime.now(UTC) + timedelta(hours=1))  # its former value
    assert (await fire()).enqueued == 0
    assert (await fire()).pause == MAX_PAUSE  # it may be put forward again


async def test_only_tasks_of_the_workers_backend_are_fired(declare):
    declare(backend="second")
    assert not PeriodicTasks("database")
    assert (await fire()).enqueued == 0


@pytest.mark.sqlite  # a connection to PostgreSQL has the time zone of when it was opened
async def test_without_use_tz_it_is_still_due(declare, settings):
    settings.USE_TZ = False
    declare(schedule=every(minutes=1))
    await fire()
    await make_due()
    assert [(await fire()).enqueued for _ in range(2)] == [1, 0]


# In a worker


@in_threads
async def test_workers_run_what_is_due_once(declare, working):
    declare(schedule=every(seconds=1))
    await fire()
    await make_due()
    for _ in range(2):
        working()
    await finished_soon(lambda: len(jobs.done) >= 2)
    rows = [row async for row in DBTaskResult.objects.order_by("enqueued_at")]
    assert len({row.enqueued_at.replace(microsecond=0) for row in rows[1:]}) == len(rows) - 1  # a second each


@in_threads
async def test_a_batch_runs_what_is_due(declare, working):
    declare()
    await fire()
    await make_due()
    await working(batch=True).end
    assert jobs.done == ["tick"]


@in_threads
async def test_it_fires_again_when_the_database_did_not_answer(declare, working, monkeypatch, caplog):
    original, errors = PeriodicTasks.fire, [OperationalError("gone")]

    def fail_once(self):
        if errors:
            raise errors.pop()
        return original(self)

    declare()
    await fire()
    await make_due()
    monkeypatch.setattr(PeriodicTasks, "fire", fail_once)
    working()
    await finished_soon(lambda: jobs.done)
    await asyncio.to_thread(flush)
    assert "cannot enqueue periodic tasks" in caplog.text


@in_threads
def test_the_command_imports_the_tasks_of_apps(monkeypatch):
    imported = []
    monkeypatch.setattr(discovery, "import_module", imported.append)
    try:
        call_command("daf_worker", backend="database", batch=True, verbosity=0)
    finally:
        reset_pool()
    assert "daf_views.tasks" in imported


def test_a_module_of_tasks_that_raises_keeps_no_other_out(monkeypatch, caplog):
    imported = []

    def fail(name):
        imported.append(name)
        raise LookupError

    monkeypatch.setattr(discovery, "import_module", fail)
    monkeypatch.setattr(discovery, "module_has_submodule", lambda *_: True)
    discovery.import_tasks()
    assert len(imported) > 1
    assert "daf_views.tasks cannot be imported: its periodic tasks are not enqueued." in caplog.text


def test_a_periodic_task_on_a_backend_that_fires_nothing_is_an_error(declare):
    declare(backend="default")
    [message] = [message for message in run_checks(tags=["daf_views"]) if message.id == "daf_views.E015"]
    assert message.msg.startswith("tests.views.tasks.jobs.tick is periodic, which its backend 'default'")
    declare(backend="database")
    assert not [message for message in run_checks(tags=["daf_views"]) if message.id == "daf_views.E015"]
