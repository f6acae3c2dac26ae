"""The tasks that this process was given: all that have not finished, and the last that have."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from daf_views.tasks.compat import TaskResultStatus
from daf_views.tasks.in_process.results import KEPT
from daf_views.tasks.overview.values import LIMIT, SHOWN, STATES, BackendOverview, TaskLine, no_tasks

if TYPE_CHECKING:
    from daf_views.tasks.compat import TaskResult
    from daf_views.tasks.in_process.backend import InProcessBackend

_ENDS = {TaskResultStatus.SUCCESSFUL: "successful", TaskResultStatus.FAILED: "failed"}


def overview(backend: InProcessBackend, path: str) -> BackendOverview:
    """Return it. Any thread may ask."""
    queues: dict[str, dict[str, int]] = {}
    now = datetime.now(UTC)
    results: dict[str, list[TaskResult]] = {state: [] for state in STATES}
    for result in backend.results.all():
        state = _state(result, now)
        queues.setdefault(result.task.queue_name, no_tasks())[state] += 1
        results[state].append(result)
    results["ready"].sort(key=lambda result: -result.task.priority)  # as they will be run
    results["failed"].reverse()
    tasks = {state: [_line(result) for result in results[state][:LIMIT]] for state in SHOWN}
    scope = f"this process ({os.getpid()}), with the last {KEPT} that have ended"
    return BackendOverview(alias=backend.alias, backend=path, scope=scope, queues=queues, tasks=tasks)


def _state(result: TaskResult, now: datetime) -> str:
    if result.status == TaskResultStatus.RUNNING:
        return "running"
    if result.status != TaskResultStatus.READY:
        return _ENDS[result.status]
    if result.attempts:
        return "retrying"
    due: Any = result.task.run_after
    return "ready" if due is None or due.astimezone(UTC) <= now else "delayed"


def _line(result: TaskResult) -> TaskLine:
    return TaskLine(
        id=result.id,
        task=result.task.module_path,
        queue_name=result.task.queue_name,
        priority=result.task.priority,
        attempts=result.attempts,
        enqueued_at=result.enqueued_at,
        run_after=result.task.run_after,
        started_at=result.started_at,
        finished_at=result.finished_at,
        error=result.errors[-1].exception_class_path if result.errors else "",
        worker_id=result.worker_ids[-1] if result.worker_ids else "",
    )
