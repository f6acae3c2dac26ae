"""Django's Tasks API, wherever it is: ``django.tasks`` from Django 6.0 on, the ``django-tasks`` backport before.

All other modules import from here. On Django 5.2: ``pip install "django-daf[tasks]"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from django.tasks.base import Task as _Task
    from django.tasks.base import TaskResult as _TaskResult

try:
    from django.tasks import TaskContext, TaskResultStatus, task_backends
    from django.tasks.backends.base import BaseTaskBackend
    from django.tasks.base import TaskError
    from django.tasks.exceptions import InvalidTask, TaskResultDoesNotExist
    from django.tasks.signals import logger as tasks_logger
    from django.tasks.signals import task_enqueued, task_finished, task_started
    from django.utils.json import normalize_json

    if not TYPE_CHECKING:
        from django.tasks.base import Task, TaskResult
except ImportError:
    if not TYPE_CHECKING:
        try:
            from django_tasks import TaskContext, TaskResult, TaskResultStatus, task_backends
            from django_tasks.backends.base import BaseTaskBackend
            from django_tasks.base import Task, TaskError
            from django_tasks.exceptions import InvalidTaskError as InvalidTask
            from django_tasks.exceptions import TaskResultDoesNotExist
            from django_tasks.signals import logger as tasks_logger
            from django_tasks.signals import task_enqueued, task_finished, task_started
            from django_tasks.utils import normalize_json
        except ImportError as error:
            raise ImproperlyConfigured(
                "Django has had tasks since 6.0. Before that daf_views.tasks needs the backport: "
                'pip install "django-daf[tasks]".'
            ) from error

if TYPE_CHECKING:
    # Generic to the type checker only: Django's own classes are not.
    Task = _Task[Any, Any]
    TaskResult = _TaskResult[Any, Any]
    ResultOf = _TaskResult

__all__ = [
    "BaseTaskBackend",
    "InvalidTask",
    "Task",
    "TaskContext",
    "TaskError",
    "TaskResult",
    "TaskResultDoesNotExist",
    "TaskResultStatus",
    "normalize_json",
    "task_backends",
    "task_enqueued",
    "task_finished",
    "task_started",
    "tasks_logger",
]
