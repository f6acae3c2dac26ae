"""For tests of code that enqueues tasks: capture them and run them later, or run them at once.

Both take the place of every backend in ``TASKS``, and do not wait for a transaction to commit: a test's own never does.
"""

from __future__ import annotations

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from asgiref.sync import async_to_sync
from django.test import override_settings
from django.utils import timezone

from daf_orm import allow_blocking
from daf_views.exceptions import TaskCancelledError
from daf_views.tasks.attempts import attempt
from daf_views.tasks.compat import (
    BaseTaskBackend,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    task_backends,
)
from daf_views.tasks.event_loop import running_loop
from daf_views.tasks.result import change, new_result, note
from daf_views.tasks.retry_policy import policy_of
from daf_views.tasks.task import AsyncTask, can_be_unique, is_durable

if TYPE_CHECKING:
    from collections.abc import Iterator


class CapturedTasks(list[TaskResult]):
    """The results of tasks that were enqueued, in order; none of them has been run."""

    async def run(self, *, advance: float = 0) -> None:
        """Run those that are due, and those that they enqueue, one after the other and without pauses between attempts.

        ``advance`` is the number of seconds that are taken to have passed. An error of a task's last attempt is raised.
        """
        while due := [result for result in self if _is_due(result, advance)]:
            for result in due:
                await _run(result)


@contextmanager
def capture_tasks() -> Iterator[CapturedTasks]:
    """Capture the tasks enqueued in the block: the target of ``as`` is their list."""
    captured = CapturedTasks()
    with _in_place_of_all("daf_views.tasks.testing.CapturingBackend", captured):
        yield captured


@contextmanager
def run_eagerly() -> Iterator[CapturedTasks]:
    """Run tasks enqueued in the block at once, also delayed ones: their errors are raised where they are enqueued."""
    captured = CapturedTasks()
    with _in_place_of_all("daf_views.tasks.testing.EagerBackend", captured):
        yield captured


@contextmanager
def _in_place_of_all(path: str, captured: CapturedTasks) -> Iterator[None]:
    tasks = {
        alias: {
            "BACKEND": path,
            "QUEUES": [],
            "OPTIONS": {
                "captured": captured,
                "is_durable": is_durable(task_backends[alias]),
                "supports_unique": can_be_unique(task_backends[alias]),
            },
        }
        for alias in task_backends.settings
    }
    with override_settings(TASKS=tasks):
        yield


class CapturingBackend(BaseTaskBackend):
    """Keeps enqueued tasks for the test."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True
    enqueues_at_once: ClassVar[bool] = True

    @property
    def is_durable(self) -> bool:
        """Return True if the backend that this stands for is: a task that it refuses is refused here."""
        return bool(self.options["is_durable"])

    @property
    def supports_unique(self) -> bool:
        """Return True if the backend that this stands for does."""
        return bool(self.options["supports_unique"])

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult:
        """Keep the task, unless it is unique and one of its key has not ended."""
        captured: CapturedTasks = self.options["captured"]
        if (key := _unique_key(task, args, kwargs)) is not None:
            for each in captured:
                if not each.is_finished and _unique_key(each.task, each.args, each.kwargs) == key:
                    return each
        result = new_result(self.alias, task, args, kwargs)
        captured.append(result)
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult:
        """Keep it."""
        return self.enqueue(task, args, kwargs)

    def get_result(self, result_id: str) -> TaskResult:
        """Return one that was kept."""
        for result in self.options["captured"]:
            if result.id == result_id:
                return result  # type: ignore[no-any-return] # of a list of results
        raise TaskResultDoesNotExist(result_id)

    async def aget_result(self, result_id: str) -> TaskResult:
        """Return one that was kept."""
        return self.get_result(result_id)

    def cancel(self, result_id: str) -> bool:
        """Cancel a captured task, unless it has ended."""
        result = self.get_result(result_id)
        if result.is_finished:
            return False
        note(result, TaskCancelledError(f"{result.task.module_path} was cancelled."))
        change(result, status=TaskResultStatus.FAILED, finished_at=timezone.now())
        return True

    async def acancel(self, result_id: str) -> bool:
        """Cancel a captured task, unless it has ended."""
        return self.cancel(result_id)


class EagerBackend(CapturingBackend):
    """Runs enqueued tasks at once."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult:
        """Run it, on a new event loop."""
        result = super().enqueue(task, args, kwargs)
        if result.attempts:  # a unique task that runs, and enqueues itself
            return result
        if running_loop() is None:
            async_to_sync(_run)(result)
        else:  # this thread waits meanwhile
            with allow_blocking(reason="a test asked for it"), ThreadPoolExecutor(max_workers=1) as executor:
                executor.submit(copy_context().run, asyncio.run, _run(result)).result()
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult:
        """Run it here."""
        result = CapturingBackend.enqueue(self, task, args, kwargs)
        if not result.attempts:
            await _run(result)
        return result


def _unique_key(task: Any, args: Any, kwargs: Any) -> tuple[str, str, str] | None:
    key = task.unique_key(args, kwargs) if isinstance(task, AsyncTask) else None
    return None if key is None else (task.backend, task.module_path, key)


def _is_due(result: TaskResult, advance: float) -> bool:
    run_after = result.task.run_after
    if result.status != TaskResultStatus.READY:
        return False
    return run_after is None or run_after.astimezone(UTC) <= datetime.now(UTC) + timedelta(seconds=advance)


async def _run(result: TaskResult) -> None:
    now = timezone.now()
    change(result, status=TaskResultStatus.RUNNING, started_at=now, last_attempted_at=now)
    for attempts in itertools.count(1):
        result.worker_ids.append("test")
        try:
            change(result, return_value=await attempt(result), status=TaskResultStatus.SUCCESSFUL)
        except Exception as error:
            note(result, error)
            if not policy_of(result.task).allows(attempts, error):
                change(result, status=TaskResultStatus.FAILED, finished_at=timezone.now())
                raise
        else:
            change(result, finished_at=timezone.now())
            return
