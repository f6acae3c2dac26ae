"""The metrics of tasks, by Django's signals, which every backend sends: enqueued, running, finished, tried again.

A process counts what happens in it: a server the tasks that it enqueues, a worker those that it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from daf_orm.metrics import Counter, Underway
from daf_views.tasks.compat import task_enqueued, task_finished

if TYPE_CHECKING:
    from django.dispatch import Signal

    from daf_views.tasks.compat import TaskResult

_enqueued: Final = Counter(
    "daf_tasks_enqueued_total", "Tasks that were enqueued, by task.", unit="tasks", labels=("task",)
)
RUNNING: Final = Underway(
    "daf_tasks_running", "Attempts at tasks that run in this process now, by task.", unit="attempts", labels=("task",)
)
_finished: Final = Counter(
    "daf_tasks_finished_total",
    "Tasks that have ended without a further attempt, by task and status: successful or failed.",
    unit="tasks",
    labels=("task", "status"),
)
RETRIED: Final = Counter(
    "daf_tasks_retried_total",
    "Failed attempts that are followed by another, by task.",
    unit="attempts",
    labels=("task",),
)


def count(signal: Signal, result: TaskResult) -> None:
    """Count a signal that is not sent because only the metrics and a silent log would receive it."""
    if signal is task_enqueued:
        _count_enqueued(None, result)
    elif signal is task_finished:
        _count_finished(None, result)


def _count_enqueued(sender: Any, task_result: TaskResult, **_: Any) -> None:  # noqa: ARG001 - a receiver's
    _enqueued.add(task_result.task.module_path)


def _count_finished(sender: Any, task_result: TaskResult, **_: Any) -> None:  # noqa: ARG001 - a receiver's
    _finished.add(task_result.task.module_path, str(task_result.status).lower())


task_enqueued.connect(_count_enqueued, dispatch_uid="daf_views.tasks.metrics")
task_finished.connect(_count_finished, dispatch_uid="daf_views.tasks.metrics")
