"""The system checks of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.checks import CheckMessage, Error

from daf_views.tasks.compat import task_backends
from daf_views.tasks.task import durable_tasks, is_durable

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
