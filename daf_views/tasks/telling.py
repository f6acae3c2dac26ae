"""Tell what becomes of a task by Django's signals, off the event loop: receivers write logs, and perhaps rows."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from daf_orm import database_sync_to_async

if TYPE_CHECKING:
    from django.dispatch import Signal

    from daf_views.tasks.compat import TaskResult


async def tell(signal: Signal, sender: type, result: TaskResult, error: BaseException | None = None) -> None:
    """Send a signal. An error of a receiver's is logged, and no business of the task's.

    Where nobody but Django's own log listens, it is not waited for.
    """
    if len(signal.receivers) > 1:  # Django has connected one to each
        await database_sync_to_async(_send)(signal, sender, result, error)
    else:
        _log_thread().submit(_send, signal, sender, copy.copy(result), error)


def tell_from_anywhere(signal: Signal, sender: type, result: TaskResult) -> None:
    """Do the same from a function that cannot wait."""
    _log_thread().submit(_send, signal, sender, copy.copy(result), None)


def flush() -> None:
    """Wait until everything has been told."""
    _log_thread().submit(int).result()


def _send(signal: Signal, sender: type, result: TaskResult, error: BaseException | None) -> None:
    if error is None:
        signal.send_robust(sender=sender, task_result=result)
        return
    try:
        raise error
    except BaseException:  # noqa: BLE001 - Django's log takes the traceback from where it is being handled
        signal.send_robust(sender=sender, task_result=result)


@cache
def _log_thread() -> Any:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="daf_views-tasks")
