"""What has become of tasks that this process was given: all that have not finished, and the last that have."""

from __future__ import annotations

import threading
from collections import deque
from secrets import token_hex
from traceback import format_exception
from typing import Any

from django.utils import timezone

from daf_views._django.tasks import RETURN_VALUE
from daf_views.tasks.compat import TaskError, TaskResult, TaskResultDoesNotExist, TaskResultStatus

KEPT = 1000


def new_result(backend: str, task: Any, args: Any, kwargs: Any) -> TaskResult:
    """Return the result of a task that is being enqueued. Raises TypeError for what cannot be JSON."""
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
    """Change a result, as Django's own backends do: it is frozen for everybody else."""
    for name, value in values.items():
        object.__setattr__(result, RETURN_VALUE if name == "return_value" else name, value)


def note(result: TaskResult, error: BaseException) -> None:
    """Add an error to a result."""
    kind = type(error)
    path = f"{kind.__module__}.{kind.__qualname__}"
    result.errors.append(TaskError(exception_class_path=path, traceback="".join(format_exception(error))))


class Results:
    """Results by id. Of those that have finished, the last ``KEPT`` are remembered."""

    def __init__(self) -> None:
        self._by_id: dict[str, TaskResult] = {}
        self._finished: deque[str] = deque()
        self._lock = threading.Lock()  # tasks of several event loops finish here

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[TaskResult]:
        """Return all of them, the oldest first. Any thread may ask."""
        return list(self._by_id.values())

    def add(self, result: TaskResult) -> None:
        """Remember a result."""
        self._by_id[result.id] = result

    def forget(self, result_id: str) -> None:
        """Forget one, if it is there: its transaction has been rolled back. May be called by a finalizer."""
        self._by_id.pop(result_id, None)

    def finish(self, result: TaskResult) -> None:
        """Count it among those that have finished, for which others are forgotten."""
        with self._lock:
            self._finished.append(result.id)
            if len(self._finished) > KEPT:
                self._by_id.pop(self._finished.popleft(), None)

    def get(self, result_id: str) -> TaskResult:
        """Return the result. Raise TaskResultDoesNotExist if there is none, or none any more."""
        try:
            return self._by_id[result_id]
        except KeyError:
            raise TaskResultDoesNotExist(result_id) from None
