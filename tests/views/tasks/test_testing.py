"""The helpers for other people's tests."""

from datetime import timedelta

import pytest
from django.utils import timezone

from daf_orm import transaction
from daf_views.tasks.compat import InvalidTask, TaskResultDoesNotExist, TaskResultStatus
from daf_views.tasks.testing import capture_tasks, run_eagerly
from tests.views.tasks import jobs


async def test_captured_tasks_are_tried_again_after_chosen_exceptions_only():
    with capture_tasks() as tasks:
        await jobs.fail_in_order.aenqueue(*("ConnectionResetError", "TimeoutError", "LookupError", "never"))
    with pytest.raises(LookupError):
        await tasks.run()
    assert jobs.done == ["ConnectionResetError", "TimeoutError", "LookupError"]


async def test_an_enqueued_task_is_captured_and_not_run():
    with capture_tasks() as tasks:
        result = await jobs.note.aenqueue("hello")
        jobs.durable.delay("too")
    assert [(task.task.func, task.args) for task in tasks] == [
        (jobs.note.func, ["hello"]),
        (jobs.durable.func, ["too"]),
    ]
    assert jobs.done == []
    assert result is tasks[0]


async def test_captured_tasks_are_run_when_the_test_says_so():
    with capture_tasks() as tasks:
        await jobs.enqueue_another.aenqueue()
        await tasks.run()
        assert jobs.done == ["another"]
        assert [task.status for task in tasks] == [TaskResultStatus.SUCCESSFUL] * 2
        assert (await jobs.note.aget_result(tasks[1].id)).return_value == "another"
        with pytest.raises(TaskResultDoesNotExist):
            await jobs.note.aget_result("unknown")


async def test_time_can_be_advanced():
    with capture_tasks() as tasks:
        await jobs.note.using(run_after=timezone.now() + timedelta(hours=1)).aenqueue("later")
        await tasks.run()
        assert jobs.done == []
        await tasks.run(advance=3600)
        assert jobs.done == ["later"]


async def test_a_captured_task_is_retried_by_its_policy_and_then_raises():
    with capture_tasks() as tasks:
        await jobs.fail_always.aenqueue()
        with pytest.raises(LookupError):
            await tasks.run()
    assert jobs.done == ["tried"] * 4
    assert tasks[0].status == TaskResultStatus.FAILED


async def test_a_task_can_be_run_at_once():
    with run_eagerly():
        result = await jobs.note.aenqueue("hello")
        assert result.return_value == "hello"
        with pytest.raises(LookupError):
            await jobs.fail.aenqueue("nothing there")
    assert jobs.done == ["hello"]


def test_a_task_can_be_run_at_once_in_synchronous_code():
    with run_eagerly():
        assert jobs.note.enqueue("hello").return_value == "hello"


async def test_a_task_can_be_run_at_once_in_synchronous_code_on_an_event_loop():
    with run_eagerly():
        assert jobs.note.enqueue("hello").return_value == "hello"
        with pytest.raises(LookupError):
            jobs.fail.delay("nothing there")


async def test_a_task_that_the_backend_refuses_is_refused(durable_in_memory):
    with capture_tasks(), pytest.raises(InvalidTask, match="is durable"):
        await durable_in_memory.aenqueue()


async def test_a_task_that_takes_its_context_can_be_run_directly():
    await jobs.with_context("hello")
    assert jobs.done == [(0, "hello")]


@pytest.mark.django_db
async def test_a_tests_own_transaction_makes_no_difference():
    with run_eagerly():
        async with transaction.atomic():
            await jobs.note.aenqueue("hello")
    assert jobs.done == ["hello"]
