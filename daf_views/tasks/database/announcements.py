"""Wake workers by PostgreSQL's NOTIFY, which travels in the statement that makes a task due.

A column that is empty while a task is queued gets the result of ``pg_notify()``, which is the empty string as text. In
an UPDATE the result is appended to the name of the queue. So NOTIFY costs no round trip, is sent with the COMMIT of the
transaction that enqueues, and never after a rollback. Other databases get the unchanged statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import F, Func, TextField, Value
from django.db.models.functions import Concat
from django.db.models.signals import post_save, pre_save
from django.utils import timezone
from django_tasks_db.models import DBTaskResult, get_date_max

from daf_views.tasks.compat import TaskResultStatus, task_backends

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANNEL = "daf_tasks"
"""PostgreSQL's channels are those of a database. The payload names the backend and the queue."""


class _Notify(Func):
    """The empty string; computing it sends the notification."""

    function = "pg_notify"
    template = "%(function)s(%(expressions)s)::text"
    output_field = TextField()


def connect() -> None:
    """Announce each task that the ORM inserts one by one, whichever backend does."""
    pre_save.connect(_announce, sender=DBTaskResult, dispatch_uid=f"{__name__}.announce")
    post_save.connect(_tidy, sender=DBTaskResult, dispatch_uid=f"{__name__}.tidy")


def announcement(row: DBTaskResult[..., Any], using: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return further values of an UPDATE that makes a task due, so that workers are notified."""
    if values.get("status") != TaskResultStatus.READY or not _is_due(values.get("run_after")):
        return {}
    return {"queue_name": Concat(F("queue_name"), _notify(row))} if is_announced(row.backend_name, using) else {}


def is_announced(backend: str, using: str) -> bool:
    """Return True if tasks of a backend are announced on a database."""
    wants = backend not in task_backends.settings or task_backends[backend].options.get("NOTIFY", True)
    return bool(wants) and connections[using].vendor == "postgresql"


def queue_in(payload: str) -> tuple[str, str]:
    """Return the backend and the queue of a task that was announced."""
    backend, _, queue = payload.partition("\n")
    return backend, queue


def _announce(instance: DBTaskResult[..., Any], using: str, **_: object) -> None:
    is_new = instance._state.adding and instance.status == TaskResultStatus.READY  # noqa: SLF001 - documented
    if is_new and _is_due(instance.run_after) and is_announced(instance.backend_name, using):
        instance.exception_class_path = _notify(instance)


def _tidy(instance: DBTaskResult[..., Any], **_: object) -> None:
    if isinstance(instance.exception_class_path, _Notify):  # before Django 6.0 a computed value is not read back
        instance.exception_class_path = ""


def _notify(row: DBTaskResult[..., Any]) -> _Notify:
    # PostgreSQL sends one for all tasks of a transaction that have the same payload.
    return _Notify(Value(CHANNEL), Value(f"{row.backend_name}\n{row.queue_name}"))


def _is_due(run_after: Any) -> bool:
    return run_after is None or run_after == get_date_max() or run_after <= timezone.now()
