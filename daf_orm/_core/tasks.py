"""The running task, and its name in messages."""

from __future__ import annotations

import asyncio
from typing import Any


def describe_task(task: asyncio.Task[Any] | None) -> str:
    """Name a task for a message."""
    return f"task {task.get_name()!r}" if task is not None else "code outside a task"


def current_task() -> asyncio.Task[Any] | None:
    """Return the running task; None on a worker thread, and in the finalizer of a task that was dropped."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
