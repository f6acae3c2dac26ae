"""The system checks of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.db import router

from daf_views.tasks.compat import task_backends
from daf_views.tasks.task import can_be_unique, durable_tasks, is_durable, periodic_tasks, unique_tasks

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_options() -> Iterator[CheckMessage]:
    """``daf_views.E006``: wrong options of a backend."""
    for alias in task_backends.settings:
        problems = getattr(task_backends[alias], "problems", tuple)
        yield from (Error(problem, id="daf_views.E006") for problem in problems())


def check_durability() -> Iterator[CheckMessage]:
    """``daf_views.E007``: durable tasks whose backend would lose them with its process."""
    for task in durable_tasks:
        if not is_durable(task.get_backend()):
            yield Error(
                f"{task.module_path} is durable, and its backend {task.backend!r} keeps tasks in memory only: give it "
                "another one.",
                id="daf_views.E007",
            )


def check_features() -> Iterator[CheckMessage]:
    """``daf_views.E015``: unique and periodic tasks whose backend does not support that."""
    for kind, tasks, supports in (
        ("unique", unique_tasks, can_be_unique),
        ("periodic", periodic_tasks.values(), can_be_periodic),
    ):
        for task in tasks:
            if not supports(task.get_backend()):
                yield Error(
                    f"{task.module_path} is {kind}, which its backend {task.backend!r} does not support.",
                    hint='Give it one that does, such as "daf_views.tasks.database.backend.DatabaseBackend".',
                    id="daf_views.E015",
                )


def check_placement() -> Iterator[CheckMessage]:
    """``daf_views.E016``: tables of tasks in two databases, which no transaction spans."""
    if not (apps.is_installed("daf_views.tasks.database") and apps.is_installed("django_tasks_db")):
        return
    models = [apps.get_model("django_tasks_database", "DBTaskResult"), apps.get_model("daf_tasks", "Worker")]
    engines, ours = (router.db_for_write(model) for model in models)
    if engines != ours:
        yield Error(
            f"DATABASE_ROUTERS write django_tasks_database to {engines!r} and daf_tasks to {ours!r}: a worker writes "
            "both in one transaction.",
            hint="Route both apps to one database.",
            id="daf_views.E016",
        )


def can_be_periodic(backend: Any) -> bool:
    """Return True if something enqueues a backend's periodic tasks: ``daf_worker``, or Celery's beat."""
    return bool(getattr(backend, "supports_schedule", False))
