"""Tasks in the process that enqueues them: each ends, is handed over or is named."""

import asyncio
import gc
import logging
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.core.checks import run_checks
from django.db import transaction as django_transaction
from django.urls import path
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_orm import database_sync_to_async, get_pool, transaction
from daf_views.asgi import current_drain
from daf_views.exceptions import NoEventLoopError, ShuttingDownError, TaskQueueFullError, TaskTimeoutError
from daf_views.tasks import retry_policy, run_in_background
from daf_views.tasks.compat import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
    task_enqueued,
    task_finished,
    task_started,
)
from daf_views.tasks.in_process import supervisor as supervising
from daf_views.tasks.in_process.results import KEPT
from daf_views.tasks.notifier import flush
from tests.project.library.models import Author
from tests.views.tasks import jobs


async def test_only_chosen_exceptions_are_tried_again(finished):
    result = await finished(
        await jobs.fail_in_order.aenqueue(*("ConnectionResetError", "TimeoutError", "LookupError", "never"))
    )
    assert (result.status, jobs.done) == (
        TaskResultStatus.FAILED,
        ["ConnectionResetError", "TimeoutError", "LookupError"],
    )


async def test_a_task_is_run_and_its_result_can_be_had(finished):
    result = await jobs.note.aenqueue("hello")
    assert result.status == TaskResultStatus.READY
    await finished(result)
    assert result.return_value == "hello"
    assert (result.attempts, result.errors) == (1, [])
    again = await jobs.note.aget_result(result.id)
    assert again.return_value == "hello"
    assert result.enqueued_at <= result.started_at <= result.finished_at


@pytest.mark.parametrize("enqueue", [jobs.note.delay, jobs.note.enqueue])
async def test_it_need_not_be_awaited(enqueue):
    enqueue("hello")
    await current_drain().settle(5)
    assert jobs.done == ["hello"]


async def test_delay_may_be_awaited(finished):
    assert (await finished(await jobs.note.delay("hello"))).return_value == "hello"


async def test_a_task_can_be_run_directly():
    assert await jobs.note("hello") == "hello"
    assert jobs.done == ["hello"]


@pytest.mark.django_db(transaction=True)
async def test_a_synchronous_task_runs_in_a_thread_on_a_connection_of_the_pool(finished):
    await finished(await jobs.note_in_thread.aenqueue("hello"))
    assert jobs.done == ["hello"]
    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"]


async def test_a_task_may_take_its_context(finished):
    await finished(await jobs.with_context.aenqueue("hello"))
    assert jobs.done == [(1, "hello")]


async def test_a_task_that_fails_is_logged_with_its_traceback(finished, caplog):
    result = await finished(await jobs.fail.aenqueue("nothing there"))
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is LookupError
    assert "nothing there" in result.errors[0].traceback
    await asyncio.to_thread(flush)
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.exc_info[0] is LookupError


async def test_a_result_that_is_not_json_is_a_failure(finished):
    result = await finished(await jobs.not_json.aenqueue())
    assert result.errors[0].exception_class is TypeError


async def test_arguments_must_be_json():
    with pytest.raises(TypeError):
        await jobs.note.aenqueue(object())
    assert len(task_backends["default"].results) == 0
    assert len(task_backends["default"].supervisor(asyncio.get_running_loop())._reserved) == 0


async def test_a_task_is_retried_by_its_policy(finished, caplog):
    result = await finished(await jobs.fail_always.aenqueue())
    assert jobs.done == ["tried"] * 4
    assert (result.status, result.attempts, len(result.errors)) == (TaskResultStatus.FAILED, 4, 4)
    await asyncio.to_thread(flush)
    assert "failed (attempt 1 of 4) and is retried in 0.0 s" in caplog.text


async def test_a_task_that_takes_too_long_is_stopped(finished):
    result = await finished(await jobs.too_slow.aenqueue())
    assert result.errors[0].exception_class is TaskTimeoutError


async def test_a_synchronous_one_has_failed_when_it_ends(finished):
    enqueued = await jobs.too_slow_in_thread.aenqueue()
    await asyncio.to_thread(jobs.started_in_thread.wait, 20)
    asyncio.get_running_loop().call_later(0.1, jobs.release_thread.set)  # after its time-out: timers have an order
    result = await finished(enqueued)
    assert result.errors[0].exception_class is TaskTimeoutError


async def test_a_delayed_task_does_not_hold_up_others(options):
    options(CONCURRENCY=1)
    start = timezone.now()
    await jobs.note.using(run_after=start + timedelta(seconds=0.6)).aenqueue("latest")
    await jobs.note.using(run_after=start + timedelta(seconds=0.5)).aenqueue("later")
    await jobs.note.aenqueue("now")
    await current_drain().settle(5)
    assert jobs.done == ["now", "later", "latest"]


async def test_a_time_in_another_zone_is_the_same_time():
    await jobs.note.using(run_after=datetime.now(UTC) - timedelta(hours=1)).aenqueue("now")
    await current_drain().settle(5)
    assert jobs.done == ["now"]


async def test_urgent_tasks_come_first_and_others_in_order(options):
    options(CONCURRENCY=1)
    await jobs.wait.aenqueue("first")
    await jobs.started.get()
    for what in ("second", "third"):
        await jobs.note.aenqueue(what)
    await jobs.urgent.aenqueue("urgent")
    jobs.go_on.set()
    await current_drain().settle(5)
    assert jobs.done == ["first", "urgent", "second", "third"]


async def test_no_more_run_at_a_time_than_may(options):
    options(CONCURRENCY=3)
    for _ in range(10):
        await jobs.wait.aenqueue()
    for _ in range(3):
        await jobs.started.get()
    await asyncio.sleep(0)
    assert jobs.started.empty()
    jobs.go_on.set()
    await current_drain().settle(5)
    assert len(jobs.done) == 10


async def test_a_full_queue_refuses(options):
    options(MAX_QUEUED=3)
    for _ in range(3):
        await jobs.wait.aenqueue()
    with pytest.raises(TaskQueueFullError, match=r"3 tasks are in memory already.*MAX_QUEUED"):
        await jobs.wait.aenqueue()
    jobs.go_on.set()
    await current_drain().settle(5)
    assert len(jobs.done) == 3


@pytest.mark.timeout(180)
async def test_ten_thousand_tasks_all_run(options):
    options(MAX_QUEUED=10_000)
    for number in range(10_000):
        await jobs.note.aenqueue(number)
    await current_drain().settle(150)
    assert sorted(jobs.done) == list(range(10_000))
    assert len(task_backends["default"].results) == KEPT
    supervisor = task_backends["default"].supervisor(asyncio.get_running_loop())
    assert len(supervisor) == len(supervisor._reserved) == 0


def test_a_second_event_loop_runs_its_own():
    async def one(what):
        await jobs.note.aenqueue(what)
        await current_drain().settle(5)

    threads = [threading.Thread(target=lambda what=what: asyncio.run(one(what))) for what in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(jobs.done) == ["a", "b"]


async def test_synchronous_code_reaches_the_event_loop_that_called_it():
    await sync_to_async(jobs.note.enqueue)("from a hop")
    await asyncio.to_thread(jobs.note.enqueue, "from a thread")
    await current_drain().settle(5)
    assert jobs.done == ["from a hop", "from a thread"]


def test_without_an_event_loop_it_says_why_not():
    with pytest.raises(
        NoEventLoopError, match=r"jobs.note was started from synchronous code, .* no long-lived event loop runs"
    ):
        jobs.note.enqueue("hello")


async def test_a_task_has_a_new_context(finished):
    jobs.colour.set("red")
    assert (await finished(await jobs.see_colour.aenqueue())).return_value == "none"


async def enqueue_view(request):
    await jobs.note.aenqueue("hello")


# Transactions


@pytest.mark.django_db(transaction=True)
async def test_a_task_is_enqueued_when_its_transaction_has_committed():
    async with transaction.atomic():
        await jobs.note.aenqueue("committed")
        jobs.note.delay("committed too")
        await asyncio.sleep(0.01)
        assert jobs.done == []
    await current_drain().settle(5)
    assert jobs.done == ["committed", "committed too"]


@pytest.mark.django_db(transaction=True)
async def test_of_a_transaction_that_was_rolled_back_nothing_is_left(options):
    options(MAX_QUEUED=1)
    with pytest.raises(LookupError):
        async with transaction.atomic():
            result = await jobs.note.aenqueue("rolled back")
            with pytest.raises(TaskQueueFullError):
                await jobs.note.aenqueue("no place")
            raise LookupError
    supervisor = task_backends["default"].supervisor(asyncio.get_running_loop())
    async with asyncio.timeout(10):
        while supervisor._reserved:  # a worker thread may have it in hand still
            gc.collect()
            await asyncio.sleep(0.01)
    await jobs.note.aenqueue("the place is free")
    await current_drain().settle(5)
    assert jobs.done == ["the place is free"]
    with pytest.raises(TaskResultDoesNotExist):
        await jobs.note.aget_result(result.id)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fails", [False, True])
async def test_a_task_follows_its_transaction_in_synchronous_code(fails):
    @database_sync_to_async
    def in_a_transaction():
        with django_transaction.atomic():
            jobs.note.enqueue("committed")
            if fails:
                raise LookupError

    with suppress(LookupError):
        await in_a_transaction()
    await current_drain().settle(5)
    assert jobs.done == ([] if fails else ["committed"])


@pytest.mark.django_db(transaction=True)
async def test_no_lease_is_inherited(finished):
    async with transaction.atomic():
        await Author.objects.acreate(name="mine")
        await asyncio.sleep(0)
    result = await finished(await jobs.add_author.aenqueue("its own"))
    assert result.status == TaskResultStatus.SUCCESSFUL
    assert await Author.objects.acount() == 2


# The end


async def test_the_drain_waits_for_tasks_and_for_those_that_they_enqueue():
    await jobs.enqueue_another.aenqueue()
    await current_drain().settle(5)
    assert jobs.done == ["another"]


async def test_an_unfinished_task_is_named_with_its_arguments_at_the_deadline(options, caplog):
    options(CONCURRENCY=1)
    await jobs.wait.aenqueue(what="secret")
    await jobs.started.get()
    await jobs.note.aenqueue("secret")
    await jobs.note.using(run_after=timezone.now() + timedelta(hours=1)).aenqueue("secret")
    await current_drain().settle(0.05)
    await asyncio.to_thread(flush)
    lost = [record.getMessage() for record in caplog.records if "The server stops" in record.getMessage()]
    assert sorted(text.split(", id")[0] for text in lost) == [
        "The server stops, and a task was cut off: tests.views.tasks.jobs.wait(what)",
        "The server stops, and a task was not started: tests.views.tasks.jobs.note(#0)",
        "The server stops, and a task was not started: tests.views.tasks.jobs.note(#0)",
    ]
    assert "secret" not in "".join(lost)


@pytest.mark.django_db(transaction=True)
async def test_an_unfinished_task_is_handed_over_at_the_deadline(options, caplog):
    options(CONCURRENCY=2, OVERFLOW="database")
    await jobs.wait.aenqueue("only once")
    await jobs.wait_repeatably.aenqueue("repeatable")
    for _ in range(2):
        await jobs.started.get()
    await jobs.note.aenqueue("not begun")
    later = timezone.now() + timedelta(hours=1)
    await jobs.note.using(run_after=later, priority=7).aenqueue("not due")
    await current_drain().settle(0.05)
    rows = {row.args_kwargs["args"][0]: row async for row in DBTaskResult.objects.all()}
    assert rows.keys() == {"repeatable", "not begun", "not due"}
    assert (rows["not due"].run_after, rows["not due"].priority) == (later, 7)
    assert "a task was cut off: tests.views.tasks.jobs.wait(#0)" in caplog.text


@pytest.mark.parametrize("had_tasks", [False, True])
async def test_when_all_is_over_a_task_is_refused(had_tasks):
    if had_tasks:
        await jobs.note.aenqueue("in time")
    await current_drain().settle(1)
    with pytest.raises(ShuttingDownError):
        await jobs.note.aenqueue("too late")


def test_a_loop_that_ends_without_a_drain_names_what_is_lost(caplog):
    async def leave():
        jobs.reset()
        for what in "abc":
            await jobs.wait.aenqueue(what)
        await jobs.started.get()

    asyncio.run(leave())
    flush()
    assert caplog.text.count("a task was cut off: tests.views.tasks.jobs.wait(#0)") == 3


async def test_a_task_that_cancels_itself_is_named_and_the_others_go_on(caplog):
    other = await jobs.wait.aenqueue("other")
    cancelled = await jobs.cancel_itself.aenqueue()
    await jobs.started.get()
    jobs.go_on.set()
    await jobs.note.aenqueue("one more")
    await current_drain().settle(5)
    await asyncio.to_thread(flush)
    assert sorted(jobs.done) == ["one more", "other"]
    assert other.status == TaskResultStatus.SUCCESSFUL
    assert cancelled.status == TaskResultStatus.FAILED
    assert "a task was cut off: tests.views.tasks.jobs.cancel_itself()" in caplog.text


@pytest.mark.parametrize("task", [jobs.leave, jobs.raise_oddly, jobs.await_what_is_cancelled])
async def test_any_exception_of_a_task_is_a_failure(finished, task):
    result = await finished(await task.aenqueue())
    assert (result.status, len(result.errors)) == (TaskResultStatus.FAILED, 1)


@pytest.mark.django_db(transaction=True)
async def test_a_retry_needs_no_connection(settings, finished):
    settings.DAF_ORM = {"MAX_SIZE": 1, "TIMEOUT": 0.01}
    result = await jobs.fail_when_told.aenqueue()
    async with transaction.atomic():  # the block has the only one
        jobs.go_on.set()
        await finished(result)
    assert (result.attempts, len(jobs.done)) == (2, 2)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_task_that_does_not_end_does_not_keep_others_from_being_named(options, caplog, monkeypatch, cancelled):
    monkeypatch.setattr(supervising, "GRACE", 0.05)
    options(CONCURRENCY=1)
    await jobs.stubborn.aenqueue()
    await jobs.started.get()
    await jobs.note.aenqueue("never")
    settling = asyncio.create_task(current_drain().settle(0.05))
    if cancelled:
        await asyncio.sleep(0)
        settling.cancel()
    await asyncio.wait([settling])
    await asyncio.to_thread(flush)
    assert "a task was not started: tests.views.tasks.jobs.note(#0)" in caplog.text
    assert "a task has not ended: tests.views.tasks.jobs.stubborn()" in caplog.text
    jobs.go_on.set()
    await current_drain().settle(0)  # the tasks that were cut off


async def test_the_drain_waits_for_what_work_in_the_background_enqueues():
    async def enqueue_later():
        await asyncio.sleep(0.05)
        await jobs.enqueue_to_second.aenqueue()

    run_in_background(enqueue_later)
    await current_drain().settle(5)
    assert jobs.done == ["second"]


async def test_a_pause_that_ends_too_late_is_not_waited_for(caplog):
    await jobs.fail_with_a_long_pause.aenqueue()
    async with asyncio.timeout(5):
        await current_drain().settle(30)
    await asyncio.to_thread(flush)
    assert "a task was cut off: tests.views.tasks.jobs.fail_with_a_long_pause()" in caplog.text


def test_under_a_synchronous_parent_a_task_is_refused(client, settings):
    settings.ROOT_URLCONF = (path("", enqueue_view),)
    with pytest.raises(NoEventLoopError, match="no long-lived event loop runs"):
        client.get("/")


async def test_a_slow_log_or_a_broken_one_loses_nothing(finished, monkeypatch):
    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError("the disk is full")

    handler = Broken()
    logging.getLogger("daf_views").addHandler(handler)
    monkeypatch.setattr("traceback.print_exc", lambda: None)
    try:
        result = await finished(await jobs.fail_always.aenqueue())
        await asyncio.to_thread(flush)
    finally:
        logging.getLogger("daf_views").removeHandler(handler)
    assert result.attempts == 4


@pytest.mark.django_db(transaction=True)
async def test_receivers_of_signals_are_told_in_order_and_may_query(finished):
    told = []

    def receiver(signal, task_result, **kwargs):
        told.append((signal, Author.objects.count()))

    signals = [task_enqueued, task_started, task_finished]
    for signal in signals:
        signal.connect(receiver)
    try:
        result = await finished(await jobs.note.aenqueue("hello"))
        await asyncio.to_thread(flush)
    finally:
        for signal in signals:
            signal.disconnect(receiver)
    assert [signal for signal, _ in told] == signals
    assert result.status == TaskResultStatus.SUCCESSFUL


def test_clocks_that_are_put_back_make_no_difference(monkeypatch):
    berlin = ZoneInfo("Europe/Berlin")
    before, after = datetime(2026, 10, 24, 12, tzinfo=berlin), datetime(2026, 10, 25, 12, tzinfo=berlin)
    waits = []
    monkeypatch.setattr(supervising, "datetime", SimpleNamespace(now=lambda zone: before.astimezone(zone)))
    monkeypatch.setattr(supervising.Supervisor, "_put_in", lambda _, __, seconds: waits.append(seconds))
    entry = SimpleNamespace(result=SimpleNamespace(task=SimpleNamespace(run_after=after)))
    supervising.Supervisor(None, "").put(entry)
    assert waits == [25 * 3600]


# Durable


async def test_a_durable_task_is_refused_by_a_backend_in_memory(durable_in_memory):
    with pytest.raises(InvalidTask, match=r"jobs.no_backend_for_that is durable, and the backend 'default' keeps"):
        await durable_in_memory.aenqueue()


# Settings


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"CONCURENCY": 1}, "is not a known option"),
        ({"CONCURRENCY": 0}, "must be a whole number, 1 or more, not 0"),
        ({"MAX_QUEUED": "many"}, "must be a whole number"),
        ({"OVERFLOW": "default"}, "must be another alias of TASKS"),
        ({"OVERFLOW": "nowhere"}, "must be another alias of TASKS, not 'nowhere'"),
        ({"OVERFLOW": "second"}, "is 'second', which keeps tasks in memory only, too"),
        ({"DATABASE": "nowhere"}, "must be an alias of DATABASES"),
    ],
)
def test_wrong_options_are_errors(options, given, reason):
    options(**given)
    assert any(reason in message.msg for message in run_checks(tags=["daf_views"]) if message.id == "daf_views.E006")


@pytest.mark.parametrize(
    "given",
    [
        {"retries": -1},
        {"retries": 1.5},
        {"retries": True},
        {"backoff": -1},
        {"timeout": 0},
        {"timeout": "1"},
        {"retry_on": ()},
        {"retry_on": ("OSError",)},
        {"retry_on": (OSError, 1)},
    ],
)
def test_a_policy_that_is_none_is_refused(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        retry_policy.RetryPolicy(**given)


def test_pauses_double_up_to_an_hour():
    backoff = retry_policy.RetryPolicy(backoff=2)
    for attempts, due in [(1, 2), (2, 4), (3, 8), (100, 3600)]:
        assert due / 2 <= backoff.pause_after(attempts) <= due


def test_right_options_are_silent(options):
    options(CONCURRENCY=5, MAX_QUEUED=10, OVERFLOW="database")
    assert not [message for message in run_checks(tags=["daf_views"]) if message.id == "daf_views.E006"]


def test_a_durable_task_in_memory_is_an_error(durable_in_memory):
    [message] = [message for message in run_checks(tags=["daf_views"]) if message.id == "daf_views.E007"]
    assert message.msg.startswith(f"{jobs.__name__}.no_backend_for_that is durable, and its backend 'default' keeps")
