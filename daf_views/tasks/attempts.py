"""One attempt at a task that was enqueued, and its outcome."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction

from daf_orm import database_sync_to_async
from daf_views._core.cancellation import is_cancelled
from daf_views.tasks.compat import TaskContext, normalize_json
from daf_views.tasks.metrics import RUNNING
from daf_views.tasks.task import AsyncTask

if TYPE_CHECKING:
    from daf_views.tasks.compat import TaskResult


async def attempt(result: TaskResult) -> Any:
    """Make one attempt at a task that was enqueued; return its return value, as JSON."""
    task: Any = result.task
    arguments = [TaskContext(task_result=result), *result.args] if task.takes_context else result.args
    if isinstance(task, AsyncTask):
        call = task.attempt
    else:  # a Django task
        call = task.func if iscoroutinefunction(task.func) else database_sync_to_async(task.func)
    with RUNNING.during(task.module_path):
        return normalize_json(await call(*arguments, **result.kwargs))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an attempt: a value, or an error."""

    value: Any = None
    error: BaseException | None = None


async def outcome_of(result: TaskResult) -> Outcome:
    """Make one attempt at a task; return its outcome, for any exception, SystemExit and KeyboardInterrupt too.

    Raises CancelledError if it is itself cancelled, and not for something that the task awaited.
    """
    try:
        return Outcome(value=await attempt(result))
    except GeneratorExit:
        raise
    except asyncio.CancelledError as error:
        if is_cancelled():
            raise
        return Outcome(error=error)
    except BaseException as error:  # noqa: BLE001 - the task's failure, and not ours
        return Outcome(error=error)


def task_outcome(running: asyncio.Task[Outcome]) -> Outcome:
    """Return the outcome of a task that has ended and was to return one: it may have been cancelled, or raised."""
    if running.cancelled():
        return Outcome(error=asyncio.CancelledError())
    return Outcome(error=error) if (error := running.exception()) is not None else running.result()
