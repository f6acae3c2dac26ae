"""Rows of django-tasks-db's table and of DAF's, all on the database to which tasks are written."""

from __future__ import annotations

from hashlib import sha256
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from django.db import router
from django_tasks_db.models import DBTaskResult

from daf_views.tasks.compat import TaskResultStatus

if TYPE_CHECKING:
    from django.db.models import Model

ACTIVE = (TaskResultStatus.READY, TaskResultStatus.RUNNING)
"""States of a task that has not ended."""


def tasks() -> Any:
    """Return the rows of tasks."""
    return DBTaskResult.objects.using(database())


def rows_of(model: type[Model]) -> Any:
    """Return the rows of a DAF table that is written together with those of tasks, in one transaction."""
    return model._base_manager.using(database())  # noqa: SLF001 - Meta API


def database() -> str:
    """Return the alias of the database to which tasks are written."""
    return router.db_for_write(DBTaskResult)


def digest(*parts: str) -> str:
    """Return a key of 64 characters for texts of any length."""
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def described(error: BaseException) -> dict[str, str]:
    """Return the columns of an error. Its message may have characters that no database stores: NUL, lone surrogates."""
    kind = type(error)
    text = "".join(format_exception(error)).replace("\0", "\\0")
    traceback = text.encode("utf-8", "backslashreplace").decode()
    return {"exception_class_path": f"{kind.__module__}.{kind.__qualname__}", "traceback": traceback}
