"""The same tasks on Celery, with a real server between, and a worker of Celery's own."""

import dataclasses
import sys
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from celery import Celery
from celery.beat import PersistentScheduler
from celery.canvas import Signature
from celery.exceptions import Retry, WorkerLostError
from celery.worker import state
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.db import transaction as django_transaction
from django.utils.crypto import get_random_string
from kombu.exceptions import OperationalError

from daf_orm import transaction
from daf_views.exceptions import TaskCancelledError, TaskTimeoutError
from daf_views.tasks import every
from daf_views.tasks.celery import _BeatSchedule, beat_schedule
from daf_views.tasks.checks import check_options
from daf_views.tasks.compat import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_finished,
    task_started,
)
from daf_views.tasks.notifier import flush
from daf_views.tasks.task_record import to_record
from tests.project.library.models import Author
from tests.views.tasks import jobs

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
    pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning"),  # Celery's, of redis-py's
]


app = None
BACKEND = "daf_views.tasks.celery.CeleryBackend"


def new_app(broker, backend):
    prefix = {"global_keyprefix": f"{get_random_string(8)}:"}
    return Celery(
        "tests",
        broker=broker,
        backend=backend,
        broker_connection_retry_on_startup=True,
        broker_transport_options=prefix | {"max_retries": 1, "interval_start": 0},  # it is there, or is not
        result_backend_transport_options=prefix,
        task_publish_retry=False,
        worker_hijack_root_logger=False,
    )


@pytest.fixture
def celery(settings, redis_url, monkeypatch):
    """Celery on a real server; return a function that does what waits there until a task has ended."""
    monkeypatch.setattr(sys.modules[__name__], "app", new_app(redis_url, redis_url))
    backend = {"BACKEND": BACKEND, "QUEUES": [], "OPTIONS": {"APP": f"{__name__}.app"}}
    settings.TASKS = {**settings.TASKS, "default": backend}
    awaited = set()

    def stop_when_done(task_result, **_):
        awaited.discard(task_result.id)
        if not awaited:
            state.should_stop = 0

    def work_until_finished(result):
        awaited.add(result.id)
        flush()
        state.should_stop = None  # for one that was cancelled, before there was a worker
        try:
            app.WorkController(pool="solo", without_gossip=True, without_mingle=True).start()
        finally:
            state.should_stop = None

    task_finished.connect(stop_when_done)
    yield work_until_finished
    task_finished.disconnect(stop_when_done)
    app.close()


def test_times_out_then_raises_then_succeeds(celery):
    result = jobs.times_out_then_raises_then_succeeds.enqueue("key")
    celery(result)
    result.refresh()
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, 2)
    assert Author.objects.filter(name="key").count() == 1
    assert [error.exception_class for error in result.errors] == [TaskTimeoutError, LookupError]
    assert result.attempts == 3


def test_a_task_that_never_succeeds_fails(celery):
    result = jobs.fail_always.enqueue()
    celery(result)
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert jobs.done == ["tried"] * 4


def test_celery_tries_again_after_chosen_exceptions_only(celery):
    result = jobs.fail_in_order.enqueue(*("ConnectionResetError", "TimeoutError", "LookupError", "never"))
    celery(result)
    result.refresh()
    assert (result.status, jobs.done) == (
        TaskResultStatus.FAILED,
        ["ConnectionResetError", "TimeoutError", "LookupError"],
    )


def test_a_task_of_djangos_own_runs(celery):
    result = jobs.djangos_own.enqueue("value")
    celery(result)
    result.refresh()
    assert (result.status, result.return_value, result.args) == (TaskResultStatus.SUCCESSFUL, "value", ["value"])


async def test_celery_is_sent_a_task_on_commit(celery):
    async with transaction.atomic():
        result = await jobs.add_author.aenqueue("committed")
        with pytest.raises(TaskResultDoesNotExist):
            await jobs.add_author.aget_result(result.id)
    assert (await jobs.add_author.aget_result(result.id)).status == TaskResultStatus.READY


async def test_celery_is_sent_nothing_on_rollback(celery):
    with pytest.raises(LookupError):
        async with transaction.atomic():
            result = await jobs.add_author.aenqueue("rolled back")
            raise LookupError
    with pytest.raises(TaskResultDoesNotExist):
        await jobs.add_author.aget_result(result.id)


def test_celery_waits_for_the_transaction_of_synchronous_code(celery):
    with django_transaction.atomic():
        result = jobs.add_author.enqueue("enqueued")
        other = async_to_sync(jobs.add_author.aenqueue)("aenqueued")
        for each in (result, other):
            with pytest.raises(TaskResultDoesNotExist):
                each.refresh()
    for each in (result, other):
        each.refresh()
        assert each.status == TaskResultStatus.READY


def test_a_message_of_celerys_that_comes_again_is_not_run_again(celery):
    result = jobs.note.enqueue("once")
    celery(result)
    app.tasks["daf_views.run"].apply_async(("default", to_record(result)), task_id=result.id)
    celery(jobs.note.enqueue("later"))  # after it, in the same queue
    assert jobs.done == ["once", "later"]


def test_two_messages_of_one_task_share_its_attempts(celery):
    result = jobs.fail_always.enqueue()
    app.tasks["daf_views.run"].apply_async(("default", to_record(result)), task_id=result.id)
    celery(result)
    celery(jobs.note.enqueue("later"))
    assert jobs.done == ["tried"] * 4 + ["later"]
    result.refresh()
    assert [error.exception_class for error in result.errors] == [LookupError] * 4


def test_a_message_of_celerys_runs_nothing_but_tasks(celery):
    record = to_record(jobs.note.enqueue("a task")).replace("tests.views.tasks.jobs.note", "os.getcwd")
    with pytest.raises(SuspiciousOperation, match=r"os\.getcwd is not a task"):
        app.tasks["daf_views.run"].apply(("default", record), task_id="unknown", throw=True)


def test_a_task_of_newer_code_is_tried_later(celery, monkeypatch):
    record = to_record(jobs.note.enqueue("a task")).replace("tests.views.tasks.jobs.note", "shop.tasks.newer")
    run = app.tasks["daf_views.run"]
    monkeypatch.setattr("celery.canvas.Signature.apply_async", lambda *_, **__: None)
    run.push_request(id="unknown", args=("default", record), kwargs={}, called_directly=False, retries=0)
    try:
        with pytest.raises(Retry) as raised:
            run.run("default", record)
    finally:
        run.pop_request()
    assert raised.value.when == 60


@pytest.mark.parametrize("kind", ["x", "datetime", "bytes", "uuid"])
def test_a_dict_that_kombu_takes_for_its_own_type_arrives_unchanged(celery, kind):
    payload = {"__type__": kind, "__value__": "2cb9bb6a7a3e4c0f8a0dd1c1c2d0a9fa"}
    result = jobs.note.enqueue(payload)
    celery(result)
    result.refresh()
    assert (jobs.done, result.args, result.return_value) == ([payload], [payload], payload)


def test_a_receiver_that_raises_is_no_business_of_the_task(celery):
    def raise_oddly(**_):
        raise LookupError

    for signal in (task_started, task_finished):
        signal.connect(raise_oddly)
    try:
        result = jobs.note.enqueue("done")
        celery(result)
    finally:
        for signal in (task_started, task_finished):
            signal.disconnect(raise_oddly)
    result.refresh()
    assert (result.status, jobs.done) == (TaskResultStatus.SUCCESSFUL, ["done"])


def test_a_retry_that_the_broker_does_not_take_leaves_the_message_with_it(celery, monkeypatch):
    sent = []

    def refuse_once(self, *args, **kwargs):
        sent.append(self)
        if len(sent) == 1:
            raise OSError
        return send(self, *args, **kwargs)

    result = jobs.fail_always.enqueue()
    send = Signature.apply_async
    monkeypatch.setattr("celery.canvas.Signature.apply_async", refuse_once)
    celery(result)
    assert len(sent) > 1
    assert jobs.done == ["tried"] * 4


@pytest.mark.parametrize("knows_it", [False, True])
def test_a_result_backend_that_takes_nothing_hinders_no_task(celery, monkeypatch, knows_it):
    def raise_oddly(*_, **__):
        raise OSError

    with monkeypatch.context() as patch:
        if not knows_it:
            patch.setattr("celery.backends.redis.RedisBackend.store_result", raise_oddly)
        result = jobs.fail_always.enqueue()
    monkeypatch.setattr("celery.backends.redis.RedisBackend.store_result", raise_oddly)
    celery(result)
    assert jobs.done == ["tried"] * 4


def test_a_task_that_ends_its_workers_is_given_up(celery):
    result = jobs.note.enqueue("never")
    result.worker_ids.extend(["lost"] * 4)
    task_backends["default"].record(result)
    celery(result)
    result.refresh()
    assert (result.status, jobs.done) == (TaskResultStatus.FAILED, [])
    assert result.errors[0].exception_class is WorkerLostError


@pytest.mark.parametrize("task", [jobs.cancel_itself, jobs.leave], ids=["cancelled", "SystemExit"])
def test_an_exception_of_a_task_does_not_end_the_worker(celery, task):
    result = task.enqueue()
    celery(result)
    result.refresh()
    assert result.status == TaskResultStatus.FAILED


def test_a_task_that_a_broker_refuses_is_not_known(celery, redis_url, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "app", new_app("redis://127.0.0.1:1", redis_url))
    with pytest.raises(OperationalError):
        jobs.note.enqueue("refused")
    prefix = app.conf.result_backend_transport_options["global_keyprefix"]
    assert not list(app.backend.client.scan_iter(f"*{prefix}*"))


def test_celery_without_a_result_backend_runs_tasks_by_their_policy(celery, redis_url, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "app", new_app(redis_url, None))
    result = jobs.times_out_then_raises_then_succeeds.enqueue("key")
    celery(result)
    assert Author.objects.filter(name="key").count() == 1
    with pytest.raises(NotImplementedError, match="set its result_backend"):
        result.refresh()


def test_wrong_options_of_celery_are_named(settings):
    options = {"DATABASE": "nowhere", "APPP": "shop.celery.app"}
    settings.TASKS = {"default": {"BACKEND": BACKEND, "OPTIONS": options}}
    where = "TASKS['default']['OPTIONS']"
    assert [check.msg for check in check_options()] == [
        f"{where}['APPP'] is not a known option.",
        f"{where}['APP'] must be the path of the Celery app, such as 'config.celery.app'.",
        f"{where}['DATABASE'] must be an alias of DATABASES, not 'nowhere'.",
    ]
    with pytest.raises(ImproperlyConfigured, match="must be the path of the Celery app"):
        jobs.note.enqueue("nowhere")


def test_celery_keeps_a_delay(celery):
    result = jobs.later.enqueue("later")
    assert result.task.run_after is not None
    celery(result)
    result.refresh()
    assert jobs.done == ["later"]


# Cancelling


def test_a_task_cancelled_in_the_queue_is_not_run(celery):
    result = jobs.note.enqueue("never")
    assert jobs.note.cancel(result.id)
    celery(jobs.note.enqueue("later"))
    result.refresh()
    assert (result.status, jobs.done) == (TaskResultStatus.FAILED, ["later"])
    assert result.errors[0].exception_class is TaskCancelledError
    assert not jobs.note.cancel(result.id)


async def test_an_unknown_task_of_celerys_cannot_be_cancelled(celery):
    with pytest.raises(TaskResultDoesNotExist):
        await jobs.note.acancel("unknown")


def test_a_task_cancelled_between_two_attempts_is_not_retried(celery):
    result = jobs.cancelled_when_it_fails.enqueue()
    jobs.result_id = result.id
    celery(jobs.note.enqueue("later"))  # behind it
    result.refresh()
    assert (result.status, jobs.done) == (TaskResultStatus.FAILED, ["tried", "later"])
    assert [error.exception_class for error in result.errors] == [TaskCancelledError]


def test_a_task_that_succeeds_while_it_is_cancelled_has_succeeded(celery):
    result = jobs.cancelled_when_it_succeeds.enqueue()
    jobs.result_id = result.id
    celery(result)
    result.refresh()
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, "value")


def test_without_a_result_backend_celery_revokes(celery, redis_url, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "app", new_app(redis_url, None))
    assert jobs.note.cancel(jobs.note.enqueue("queued").id)


# Periodic tasks


@pytest.fixture
def beat(celery, monkeypatch, tmp_path):
    """Celery's own beat, with one periodic task; return a function that starts it, as a process would."""
    task = dataclasses.replace(jobs.tick, schedule=every(hours=1), queue_name="default")
    other = dataclasses.replace(jobs.note, schedule=every(hours=1), backend="database")
    monkeypatch.setattr("daf_views.tasks.celery.periodic_tasks", {"tick": task, "of another backend": other})

    def start():
        app.conf.beat_schedule = beat_schedule()
        return PersistentScheduler(app=app, schedule_filename=str(tmp_path / "schedule"))

    return start


def entry_of(scheduler):
    [name] = [name for name in scheduler.schedule if name.startswith("tests")]
    assert name == "tests.views.tasks.jobs.tick, every 3600 s"
    return scheduler.schedule[name]


def test_celerys_beat_fires_a_tick_once(beat, celery):
    scheduler = beat()
    entry = entry_of(scheduler)
    assert not entry.is_due().is_due
    assert 0 < entry.is_due().next <= 3600
    entry.last_run_at -= timedelta(days=1)  # so that ticks were missed
    scheduler.tick()
    scheduler.tick()
    assert not entry_of(scheduler).is_due().is_due
    scheduler.close()
    celery(jobs.note.enqueue("later"))
    assert jobs.done == ["tick", "later"]


def test_a_task_that_beat_has_sent_is_like_others(beat, celery):
    scheduler = beat()
    entry_of(scheduler).last_run_at -= timedelta(hours=1)
    sent = scheduler.apply_async(entry_of(scheduler), advance=False)
    scheduler.close()
    celery(jobs.note.enqueue("later"))
    result = jobs.tick.get_result(sent.id)
    assert (result.status, result.attempts) == (TaskResultStatus.SUCCESSFUL, 1)
    assert result.enqueued_at <= result.started_at


def test_celerys_beat_makes_up_what_it_missed_while_it_was_not_running(beat, celery):
    scheduler = beat()
    entry_of(scheduler).last_run_at -= timedelta(days=1)
    scheduler.close()
    scheduler = beat()
    assert entry_of(scheduler).is_due().is_due
    scheduler.close()


def test_celerys_beat_takes_no_unique_task(beat, monkeypatch):
    task = dataclasses.replace(jobs.tick, schedule=every(hours=1), unique=True)
    monkeypatch.setattr("daf_views.tasks.celery.periodic_tasks", {"tick": task})
    with pytest.raises(InvalidTask, match=r"jobs\.tick is unique, which Celery does not support"):
        beat_schedule()


def test_schedules_for_beat_are_equal_if_they_are_the_same(beat):
    [one], [same] = ([entry["schedule"] for entry in beat_schedule().values()] for _ in range(2))
    assert (one, hash(one), repr(one)) == (same, hash(same), "<every 3600 s>")
    assert one != _BeatSchedule(every(hours=2))
