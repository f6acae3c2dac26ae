"""Make and change the results of tasks, which are frozen for all code but their backend."""

from __future__ import annotations

from secrets import token_hex
from traceback import format_exception
from typing import Any

from django.utils import timezone

from daf_views._django.tasks import RETURN_VALUE
from daf_views.tasks.compat import TaskError, TaskResult, TaskResultStatus


def new_result(backend: str, task: Any, args: Any, kwargs: Any) -> TaskResult:
    """Return the result of a task that is being enqueued. Raises TypeError for values that JSON cannot hold."""
    return TaskResult(
        task=task,
        id=token_hex(16),  # as long as Django's own, and made in a hundredth of the time
        status=TaskResultStatus.READY,
        enqueued_at=timezone.now(),
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=args,
        kwargs=kwargs,
        backend=backend,
        errors=[],
        worker_ids=[],
    )


def change(result: TaskResult, **values: Any) -> None:
    """Change a result, as Django's own backends do: for all other code it is frozen."""
    for name, value in values.items():
        object.__setattr__(result, RETURN_VALUE if name == "return_value" else name, value)


def note(result: TaskResult, error: BaseException) -> None:
    """Add an error to a result."""
    kind = type(error)
    path = f"{kind.__module__}.{kind.__qualname__}"
    result.errors.append(TaskError(exception_class_path=path, traceback="".join(format_exception(error))))
