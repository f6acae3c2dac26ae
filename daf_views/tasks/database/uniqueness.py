"""Unique tasks: of those with one key, at most one is queued or running.

A row for each key names the task that was enqueued last. To enqueue, a transaction writes that row first, so that
others with the same key wait for it, and then reads the state of that task. No worker has to clean up: the key is free
as soon as the task has ended, for any reason.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db import transaction as django_transaction
from django.utils import timezone

from daf_views.tasks.database.models import UniqueKey
from daf_views.tasks.database.rows import ACTIVE, database, digest, rows_of, tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from daf_views.tasks.compat import TaskResult

_BATCH = 1000
"""Keys that are looked at, at a time, when those are deleted whose tasks have ended."""
_KEPT = timedelta(hours=1)


def enqueue_once(parts: tuple[str, ...], enqueue: Callable[[], TaskResult]) -> TaskResult:
    """Return the result of the task of a key that is queued or runs, or else of the one that ``enqueue`` writes."""
    key = digest(*parts)
    if (found := _active(key)) is not None:  # without a lock: the usual case of a task that is there
        return found
    with django_transaction.atomic(using=database()):
        _lock(key)
        if (found := _active(key)) is not None:
            return found
        result = enqueue()
        rows_of(UniqueKey).filter(pk=key).update(task_id=result.id)
        return result


def forget_ended() -> None:
    """Delete keys whose tasks have ended: some at a time, the oldest first. Keys that others have locked are left."""
    old = rows_of(UniqueKey).filter(asked_at__lt=timezone.now() - _KEPT).order_by("asked_at")
    if not old.exists():
        return
    if not connections[database()].features.has_select_for_update_skip_locked:
        _forget_ended(old[:_BATCH])
        return
    with django_transaction.atomic(using=database()):
        _forget_ended(old.select_for_update(skip_locked=True)[:_BATCH])


def _forget_ended(old: Any) -> None:
    task_ids = {row.pk: row.task_id for row in old}
    active = set(tasks().filter(pk__in=task_ids.values(), status__in=ACTIVE).values_list("pk", flat=True))
    ended = [task_id for task_id in task_ids.values() if task_id not in active]
    # By both: without a lock, a key may have another task by now.
    rows_of(UniqueKey).filter(pk__in=task_ids, task_id__in=ended).delete()
    rows_of(UniqueKey).filter(pk__in=task_ids).update(asked_at=timezone.now())  # others are looked at first, next time


def _active(key: str) -> TaskResult | None:
    task_id = rows_of(UniqueKey).filter(pk=key).values_list("task_id", flat=True).first()
    row: Any = task_id and tasks().filter(pk=task_id, status__in=ACTIVE).first()
    return row.task_result if row else None


def _lock(key: str) -> None:
    """Write the row of a key, whether it is there or not: others wait for the end of this transaction."""
    features = connections[database()].features
    target = {"unique_fields": ["id"]} if features.supports_update_conflicts_with_target else {}
    row = UniqueKey(pk=key, asked_at=timezone.now())
    rows_of(UniqueKey).bulk_create([row], update_conflicts=True, update_fields=["asked_at"], **target)
