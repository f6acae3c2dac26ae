"""Enqueue periodic tasks when they are due: each tick once, whatever the number of workers.

A row holds the next tick. The worker that moves it on enqueues the task in the same transaction. Of several workers one
moves it. One that dies, or whose COMMIT is not answered, has done both or neither. Ticks that are missed while no
worker runs are made up by one run; the next tick is the first one after that, by the database's clock.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import Error
from django.db import transaction as django_transaction
from django.db.models import DateTimeField
from django.db.models.functions import Now
from django.utils import timezone

from daf_views.tasks.database.models import PeriodicTask
from daf_views.tasks.database.rows import database, digest, rows_of
from daf_views.tasks.task import AsyncTask, periodic_tasks

logger = logging.getLogger("daf_views")

MAX_PAUSE = 60.0
"""Seconds after which schedules are read again, at the latest: clocks may be set."""
_MIN_PAUSE = 0.05
_KEPT = timedelta(days=1)
"""The row of a schedule that this process does not know is deleted when its tick is older: others may know it."""


@dataclass(frozen=True, slots=True)
class Fired:
    """The result of one check of the schedules."""

    enqueued: int
    pause: float
    """Seconds until the next check."""


@dataclass(slots=True)
class PeriodicTasks:
    """The periodic tasks of a backend that this process knows of. Its methods raise the database's errors."""

    backend: str
    _has_looked: bool = field(default=False, init=False)

    def __bool__(self) -> bool:
        return bool(self._known())

    def fire(self) -> Fired:
        """Enqueue the tasks that are due, each in a transaction. One that cannot be enqueued is logged."""
        known = self._known()
        rows = self._rows(known)
        enqueued, pause = 0, MAX_PAUSE
        for row in rows:
            now, due_at = _now(row), _aware(row.due_at)
            try:
                if due_at <= now:
                    due_at = known[row.pk].schedule.next_after(now)
                    enqueued += self._fire(known[row.pk], row, due_at)
            except Error:
                raise
            except Exception:  # it must not keep others from being enqueued
                logger.exception("A periodic task cannot be enqueued: %s.", row)
            else:
                pause = min(pause, (due_at - now).total_seconds())
        return Fired(enqueued, max(pause, _MIN_PAUSE))

    def _known(self) -> dict[str, Any]:
        tasks = [task for task in periodic_tasks.values() if task.backend == self.backend]
        return {digest(self.backend, task.module_path, str(task.schedule)): task for task in tasks}

    def _rows(self, known: dict[str, Any]) -> list[Any]:
        rows = rows_of(PeriodicTask).filter(pk__in=known)
        if new := known.keys() - set(rows.values_list("pk", flat=True)):
            created = [self._new(pk, known[pk]) for pk in new]
            rows_of(PeriodicTask).bulk_create(created, ignore_conflicts=True)  # another worker may be faster
        if not self._has_looked:
            old = rows_of(PeriodicTask).filter(backend_name=self.backend, due_at__lt=timezone.now() - _KEPT)
            old.exclude(pk__in=known).delete()
            self._has_looked = True
        return list(rows.annotate(now=Now(output_field=DateTimeField())))

    def _new(self, pk: str, task: Any) -> PeriodicTask:
        due_at = _stored(task.schedule.next_after(datetime.now(UTC)))
        path, schedule = task.module_path, str(task.schedule)
        return PeriodicTask(pk=pk, backend_name=self.backend, task_path=path, schedule=schedule, due_at=due_at)

    def _fire(self, task: AsyncTask[..., Any], row: Any, next_at: datetime) -> bool:
        with django_transaction.atomic(using=database()):
            # A write first, for SQLite's lock. Of several workers one changes the row.
            due = rows_of(PeriodicTask).filter(pk=row.pk, due_at=row.due_at)
            if not due.update(due_at=_stored(next_at), fired_at=timezone.now()):
                return False
            task.enqueue()
            return True


def _now(row: Any) -> datetime:
    """Return the time by the database's clock. Without USE_TZ, SQLite's is in another zone than stored times."""
    return _aware(row.now) if settings.USE_TZ else datetime.now(UTC)


def _aware(moment: datetime) -> datetime:
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment


def _stored(moment: datetime) -> datetime:
    return moment if settings.USE_TZ else timezone.make_naive(moment)
