"""The policy rides in the task: the same task on other engines, of which only the settings know."""

import asyncio
import gc

import pytest
from django.core.management import call_command
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from daf_orm import database_sync_to_async, transaction
from daf_views.asgi import current_drain
from daf_views.tasks.compat import TaskResultStatus
from tests.project.library.models import Author
from tests.views.tasks import jobs

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture(autouse=True)
def engines_own(settings):
    """Keep tasks by the engine's own backend, which knows nothing of DAF."""
    settings.TASKS = {**settings.TASKS, "database": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": []}}


def work():
    """Do what waits in the database, as django-tasks-db's own worker does."""
    Worker(
        queue_names=["*"],
        interval=0,
        batch=True,
        backend_name="database",
        startup_delay=False,
        max_tasks=None,
        worker_id="worker",
        excluded_queue_names=[],
    ).run()


@pytest.fixture
def rq(settings, redis_url):
    """RQ on a real server; return a function that does what waits there."""
    settings.RQ_QUEUES = {"default": {"URL": redis_url}}
    django_rq = pytest.importorskip("django_rq")
    from django_rq.settings import QUEUES  # noqa: PLC0415 - read from the settings when it is imported
    from django_tasks_rq.backend import Job  # noqa: PLC0415 - as above
    from rq import SimpleWorker  # noqa: PLC0415
    from rq.timeouts import TimerDeathPenalty  # noqa: PLC0415

    QUEUES["default"] = {"URL": redis_url}
    settings.TASKS = {**settings.TASKS, "default": {"BACKEND": "django_tasks_rq.RQBackend", "QUEUES": ["default"]}}
    queue = django_rq.get_queue("default", job_class=Job)
    worker = SimpleWorker([queue], connection=queue.connection, job_class=Job)
    worker.death_penalty_class = TimerDeathPenalty  # pytest-timeout has the signal
    yield lambda: worker.work(burst=True)
    queue.connection.close()


def outcome(result):
    return result.status, result.return_value, Author.objects.filter(name="key").count()


def test_times_out_then_raises_then_succeeds_in_memory():
    async def run():
        jobs.reset()
        result = await jobs.times_out_then_raises_then_succeeds.aenqueue("key")
        await current_drain().settle(10)
        return result

    result = asyncio.run(run())
    assert outcome(result) == (TaskResultStatus.SUCCESSFUL, 2, 1)


def test_times_out_then_raises_then_succeeds_in_the_database():
    result = jobs.times_out_then_raises_then_succeeds.using(backend="database").enqueue("key")
    work()
    result.refresh()
    assert outcome(result) == (TaskResultStatus.SUCCESSFUL, 2, 1)


def test_times_out_then_raises_then_succeeds_in_rq(rq):
    result = jobs.times_out_then_raises_then_succeeds.enqueue("key")
    rq()
    result.refresh()
    assert outcome(result) == (TaskResultStatus.SUCCESSFUL, 2, 1)


@pytest.mark.filterwarnings("ignore:unclosed database", "ignore:.*sqlite3.Connection")
def test_times_out_then_raises_then_succeeds_in_ox(settings):
    pytest.importorskip("django_ox", reason="it needs Python 3.12")
    ox = {"BACKEND": "django_ox.backend.OxBackend", "OPTIONS": {"MAX_ATTEMPTS": 1}}  # the retries are the task's own
    settings.TASKS = {**settings.TASKS, "default": ox}
    result = jobs.times_out_then_raises_then_succeeds.enqueue("key")
    with pytest.raises(SystemExit, match="0"):
        call_command("ox_worker", "--batch", verbosity=0)
    gc.collect()  # here: the connections of its threads to SQLite in memory, which it leaves open
    result.refresh()
    assert outcome(result) == (TaskResultStatus.SUCCESSFUL, 2, 1)


def test_a_task_that_never_succeeds_fails_after_its_last_attempt():
    result = jobs.fail_always.using(backend="database").enqueue()
    work()
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert jobs.done == ["tried"] * 4


def test_only_chosen_exceptions_are_tried_again_by_any_engine():
    result = jobs.fail_in_order.using(backend="database").enqueue(
        *("ConnectionResetError", "TimeoutError", "LookupError", "never")
    )
    work()
    result.refresh()
    assert (result.status, jobs.done) == (
        TaskResultStatus.FAILED,
        ["ConnectionResetError", "TimeoutError", "LookupError"],
    )


async def test_delay_enqueues_in_the_database_awaited_or_not():
    await jobs.durable.delay("awaited")
    jobs.durable.delay("not awaited")
    await current_drain().settle(5)
    assert await DBTaskResult.objects.acount() == 2


WRONG_ARGUMENTS = {
    "none": ((), {}),
    "too many": (("hello", "again"), {}),
    "another name": ((), {"whatever": "hello"}),
    "twice": (("hello",), {"what": "again"}),
}


@pytest.mark.parametrize("task", [jobs.note, jobs.note_in_thread, jobs.with_context], ids=lambda task: task.name)
@pytest.mark.parametrize(("args", "kwargs"), WRONG_ARGUMENTS.values(), ids=WRONG_ARGUMENTS)
async def test_arguments_that_its_function_does_not_take_are_refused_when_it_is_enqueued(task, args, kwargs):
    message = rf"{task.name} cannot be called with these arguments: "
    with pytest.raises(TypeError, match=message):
        await task.aenqueue(*args, **kwargs)
    with pytest.raises(TypeError, match=message):
        task.delay(*args, **kwargs)
    with pytest.raises(TypeError, match=message):
        await database_sync_to_async(task.enqueue)(*args, **kwargs)


async def test_inside_a_transaction_delay_says_what_to_write():
    async with transaction.atomic():
        with pytest.raises(RuntimeError, match=r"write `await durable.aenqueue\(…\)`"):
            jobs.durable.delay("not awaited")
        await jobs.durable.aenqueue("awaited")
    assert await DBTaskResult.objects.acount() == 1


async def test_a_transaction_that_is_rolled_back_enqueues_nothing():
    with pytest.raises(LookupError):
        async with transaction.atomic():
            await jobs.durable.aenqueue("rolled back")
            raise LookupError
    assert await DBTaskResult.objects.acount() == 0


def test_delay_in_synchronous_code_is_the_result():
    result = jobs.durable.delay("hello")
    work()
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert Author.objects.get().name == "hello"


def test_a_delay_is_kept_by_the_engine():
    result = jobs.later.using(backend="database").enqueue("later")
    assert result.task.run_after is not None
    work()
    result.refresh()
    assert result.status == TaskResultStatus.READY
