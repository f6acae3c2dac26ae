"""The tasks that django-tasks-db keeps, and the DAF workers that run them. Imported only where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import router
from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils import timezone
from django_tasks_db.models import DBTaskResult, get_date_max

from daf_views.tasks.compat import TaskResultStatus
from daf_views.tasks.overview.values import LIMIT, SHOWN, BackendOverview, TaskLine, WorkerLine

if TYPE_CHECKING:
    from django.db.models import QuerySet

_ORDERS = {"running": "started_at", "retrying": "run_after", "failed": "-finished_at"}


def overview(alias: str, path: str) -> BackendOverview:
    """Return it: six queries at most. Call it off the event loop."""
    rows = DBTaskResult.objects.using(router.db_for_read(DBTaskResult)).filter(backend_name=alias)
    states = _states()
    counts = {state: Count("pk", filter=condition) for state, condition in states.items()}
    table: Any = rows.order_by("queue_name").values_list("queue_name").annotate(**counts)
    queues = {name: dict(zip(states, numbers, strict=True)) for name, *numbers in table}
    tasks = {state: [_line(row) for row in _ordered(rows.filter(states[state]), state)[:LIMIT]] for state in SHOWN}
    scope = "all tasks in the database"
    return BackendOverview(alias=alias, backend=path, scope=scope, queues=queues, tasks=tasks, workers=_workers(alias))


def _states() -> dict[str, Q]:
    ready, is_new = Q(status=TaskResultStatus.READY), Q(worker_ids=[])
    is_due = Q(run_after=get_date_max()) | Q(run_after__lte=timezone.now())
    return {
        "ready": ready & is_new & is_due,
        "delayed": ready & is_new & ~is_due,
        "running": Q(status=TaskResultStatus.RUNNING),
        "retrying": ready & ~is_new,
        "failed": Q(status=TaskResultStatus.FAILED),
        "successful": Q(status=TaskResultStatus.SUCCESSFUL),
    }


def _ordered(rows: QuerySet[Any], state: str) -> QuerySet[Any]:
    rows = rows.defer("args_kwargs", "return_value", "traceback")
    return rows.order_by(_ORDERS[state]) if state in _ORDERS else rows  # as they will be run


def _line(row: DBTaskResult[..., Any]) -> TaskLine:
    return TaskLine(
        id=str(row.pk),
        task=row.task_path,
        queue_name=row.queue_name,
        priority=row.priority,
        attempts=len(row.worker_ids),
        enqueued_at=row.enqueued_at,
        run_after=None if row.run_after == get_date_max() else row.run_after,
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=row.exception_class_path,
        worker_id=row.worker_ids[-1] if row.worker_ids else "",
    )


def _workers(alias: str) -> list[WorkerLine]:
    if not apps.is_installed("daf_views.tasks.database"):
        return []
    model = apps.get_model("daf_tasks", "Worker")
    workers = model._base_manager.using(router.db_for_read(model))  # noqa: SLF001 - Meta API
    lines = workers.filter(backend_name=alias).order_by("pk").annotate(is_lost=Q(expires_at__lt=Now()))
    return [WorkerLine(**row) for row in lines.values(*WorkerLine.__dataclass_fields__)]
