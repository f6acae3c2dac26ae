"""Cancel tasks of the database: those that are queued at once, those that run by a request to their worker.

A queued task is cancelled by a conditional UPDATE, so it is either cancelled or taken, never both. For a running one a
request is written, which its worker reads while it runs. A task may change hands meanwhile. So a request is also looked
for before the next run: by a worker after it has taken the task, and by the recovery of lost workers.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils import timezone
from django_tasks_db.models import DBTaskResult

from daf_views.exceptions import TaskCancelledError
from daf_views.tasks.compat import TaskResultDoesNotExist, TaskResultStatus
from daf_views.tasks.database.models import Cancellation
from daf_views.tasks.database.rows import ACTIVE, described, rows_of, tasks

_PATH = f"{TaskCancelledError.__module__}.{TaskCancelledError.__qualname__}"
_BATCH = 1000
"""Requests that are looked at, at a time."""


def cancel(alias: str, result_id: str) -> DBTaskResult[..., Any] | bool:
    """Cancel a task of a backend. Return its row if it was queued, True if it runs and is told to stop, False if ended.

    Raises TaskResultDoesNotExist.
    """
    rows = tasks().filter(backend_name=alias)
    try:
        row: DBTaskResult[..., Any] = rows.get(pk=result_id)
    except (DBTaskResult.DoesNotExist, ValidationError) as error:
        raise TaskResultDoesNotExist(result_id) from error
    if row.status not in ACTIVE:
        return False
    if _cancel_queued(row):
        return row
    rows_of(Cancellation).bulk_create(
        [Cancellation(task_id=row.pk, requested_at=timezone.now())], ignore_conflicts=True
    )
    if _cancel_queued(row):  # it went back to the queue before the request was written
        return row
    state = rows.filter(pk=row.pk).values_list("status", "exception_class_path").first()
    return state is not None and (state[0] in ACTIVE or state[1] == _PATH)  # its worker may be fast


def requested() -> set[UUID]:
    """Return the ids of running tasks that are to be cancelled."""
    return set(rows_of(Cancellation).order_by("requested_at").values_list("pk", flat=True)[:_BATCH])


def error_of(row: DBTaskResult[..., Any]) -> TaskCancelledError:
    """Return the error with which a cancelled task fails."""
    return TaskCancelledError(f"{row.task_path}, id {row.pk}, was cancelled.")


def forget(task_id: UUID) -> None:
    """Delete the request: it was carried out."""
    rows_of(Cancellation).filter(pk=task_id).delete()


def forget_ended() -> None:
    """Delete requests for tasks that have ended otherwise."""
    if ids := requested():
        active = set(tasks().filter(pk__in=ids, status__in=ACTIVE).values_list("pk", flat=True))
        rows_of(Cancellation).filter(pk__in=ids - active).delete()


def _cancel_queued(row: DBTaskResult[..., Any]) -> bool:
    values = {
        "status": TaskResultStatus.FAILED,
        "finished_at": timezone.now(),
        "return_value": None,
        **described(error_of(row)),
    }
    if not tasks().filter(pk=row.pk, status=TaskResultStatus.READY).update(**values):
        return False
    for name, value in values.items():
        setattr(row, name, value)
    return True
