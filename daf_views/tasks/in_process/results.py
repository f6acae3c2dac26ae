"""The results of tasks that this process was given: all that have not finished, and the last that have."""

from __future__ import annotations

import threading
from collections import deque

from daf_views.tasks.compat import TaskResult, TaskResultDoesNotExist

KEPT = 1000


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
        """Count a result as finished, and evict the oldest ones."""
        with self._lock:
            self._finished.append(result.id)
            if len(self._finished) > KEPT:
                self._by_id.pop(self._finished.popleft(), None)

    def get(self, result_id: str) -> TaskResult:
        """Return the result. Raise TaskResultDoesNotExist if it is unknown, or has been evicted."""
        try:
            return self._by_id[result_id]
        except KeyError:
            raise TaskResultDoesNotExist(result_id) from None
