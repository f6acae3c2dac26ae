"""Tell what becomes of a task by Django's signals, off the event loop: receivers write logs, and perhaps rows."""

from __future__ import annotations

import copy
import logging
import threading
from functools import cache
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from daf_orm import database_sync_to_async
from daf_views.tasks.compat import task_enqueued, tasks_logger

if TYPE_CHECKING:
    from django.dispatch import Signal

    from daf_views.tasks.compat import TaskResult

BACKLOG = 10_000
"""Records that may wait for a log which is slower than the tasks are; then the tasks wait for it."""


async def tell(signal: Signal, sender: type, result: TaskResult, error: BaseException | None = None) -> None:
    """Send a signal. An error of a receiver's is logged, and no business of the task's.

    Where nobody but Django's own log listens, it is not waited for.
    """
    if _only_django_logs(signal) and _log().qsize() < BACKLOG:
        _leave_to_the_log(signal, sender, result, error)
    else:
        await database_sync_to_async(_send)(signal, sender, result, error)


def tell_soon(signal: Signal, sender: type, result: TaskResult) -> None:
    """Do the same from a function that cannot wait."""
    _leave_to_the_log(signal, sender, result, None)


def flush() -> None:
    """Wait until everything has been told."""
    done = threading.Event()
    _log().put(done.set)
    done.wait()


def _leave_to_the_log(signal: Signal, sender: type, result: TaskResult, error: BaseException | None) -> None:
    level = logging.DEBUG if signal is task_enqueued else logging.INFO if error is None else logging.ERROR
    if tasks_logger.isEnabledFor(level) or not _only_django_logs(signal):
        told = copy.copy(result)  # as it is now
        _log().put(lambda: _send(signal, sender, told, error))


def _only_django_logs(signal: Signal) -> bool:
    return len(signal.receivers) <= 1  # Django has connected one to each


def _send(signal: Signal, sender: type, result: TaskResult, error: BaseException | None) -> None:
    if error is None:
        signal.send_robust(sender=sender, task_result=result)
        return
    try:
        raise error
    except BaseException:  # noqa: BLE001 - Django's log takes the traceback from where it is being handled
        signal.send_robust(sender=sender, task_result=result)


@cache
def _log() -> Any:
    """Return the queue of a thread that calls what is put into it, in order."""
    queue: SimpleQueue[Any] = SimpleQueue()

    def work() -> None:
        while True:
            queue.get()()

    threading.Thread(target=work, name="daf_views-tasks", daemon=True).start()
    return queue
