"""A task's result as text, in which Celery keeps it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from django.core.exceptions import SuspiciousOperation
from django.utils import timezone
from django.utils.module_loading import import_string

from daf_views._django.tasks import return_value_of
from daf_views.tasks.compat import Task, TaskError, TaskResultStatus
from daf_views.tasks.result import change, new_result

if TYPE_CHECKING:
    from daf_views.tasks.compat import TaskResult

_TIMES = ("enqueued_at", "started_at", "last_attempted_at", "finished_at")


def to_record(result: TaskResult) -> str:
    """Return a result as text: in a dict, kombu's JSON reads some keys as its own types."""
    task = result.task
    record = {
        "task": task.module_path,
        "queue_name": task.queue_name,
        "priority": task.priority,
        "run_after": _text(task.run_after),
        "status": str(result.status),
        "args": result.args,
        "kwargs": result.kwargs,
        "errors": [(each.exception_class_path, each.traceback) for each in result.errors],
        "worker_ids": result.worker_ids,
        "value": return_value_of(result),
        **{name: _text(getattr(result, name)) for name in _TIMES},
    }
    return json.dumps(record)


def from_record(alias: str, result_id: str, text: str) -> TaskResult:
    """Return the result that a text describes. Raises SuspiciousOperation if it names no task."""
    record = json.loads(text)
    task = import_string(record["task"])
    if not isinstance(task, Task):  # type: ignore[misc] # a plain class when it runs
        raise SuspiciousOperation(f"{record['task']} is not a task, but a Celery message names it.")
    options = {"queue_name": record["queue_name"], "priority": record["priority"], "backend": alias}
    task = task.using(run_after=_time(record["run_after"]), **options)
    result = new_result(alias, task, record["args"], record["kwargs"])
    change(
        result,
        id=result_id,
        status=TaskResultStatus(record["status"]),
        errors=[TaskError(exception_class_path=path, traceback=text) for path, text in record["errors"]],
        worker_ids=record["worker_ids"],
        return_value=record["value"],
        **{name: _time(record[name]) for name in _TIMES},
    )
    if result.enqueued_at is None:  # beat has sent it
        change(result, enqueued_at=timezone.now())
    return result


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
