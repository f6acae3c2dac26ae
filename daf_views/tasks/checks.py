"""What the system checks ask of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daf_views.tasks.compat import task_backends
from daf_views.tasks.task import durable_tasks, is_durable

if TYPE_CHECKING:
    from collections.abc import Iterator


def option_problems() -> Iterator[str]:
    """Yield what is wrong with the options of each backend of ours."""
    for alias in task_backends.settings:
        problems = getattr(task_backends[alias], "problems", tuple)
        yield from problems()


def durability_problems() -> Iterator[str]:
    """Yield the durable tasks whose backend would lose them with its process."""
    for task in durable_tasks:
        if not is_durable(task.get_backend()):
            yield (
                f"{task.module_path} is durable, and its backend {task.backend!r} keeps tasks in memory only: give it "
                "another one."
            )
