"""Report the states of tasks, off the event loop and in order: by Django's signals, and in the log.

One thread does all of it. It uses no lease of the connection pool, because it must also work when that is exhausted;
a receiver's own connection is closed afterwards.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import functools
import logging
import os
import threading
import traceback
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from django.db import connections

from daf_views.tasks import metrics
from daf_views.tasks.compat import task_enqueued, task_started, tasks_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.dispatch import Signal

    from daf_views.tasks.compat import TaskResult

logger = logging.getLogger("daf_views")

BACKLOG = 10_000
"""Records that may wait for a slow log; beyond that the tasks wait for it."""


async def send(signal: Signal, sender: type, result: TaskResult, error: BaseException | None = None) -> None:
    """Send a signal. An error of a receiver is logged, and does not affect the task.

    If Django's own log is the only receiver, it is not waited for.
    """
    if _only_django_logs(signal) and _line().qsize() < BACKLOG:
        _send_soon(signal, sender, result, error)
        return
    told: concurrent.futures.Future[None] = concurrent.futures.Future()
    _line().put(lambda: _send_and_tell(told, signal, sender, copy.copy(result), error))
    await asyncio.wrap_future(told)


def send_soon(signal: Signal, sender: type, result: TaskResult, error: BaseException | None = None) -> None:
    """Do the same from a function that cannot wait."""
    _send_soon(signal, sender, result, error)


def log_soon(level: int, message: str, *args: Any, error: BaseException | None = None) -> None:
    """Log, from anywhere: from an event loop, and from a finalizer, which may take no lock."""
    _line().put(functools.partial(logger.log, level, message, *args, exc_info=error))


def flush() -> None:
    """Wait until all reports have been sent."""
    if os.getpid() not in _lines:  # nothing has been; and an interpreter that shuts down starts no thread
        return
    done = threading.Event()
    _line().put(done.set)
    done.wait()


def _send_soon(signal: Signal, sender: type, result: TaskResult, error: BaseException | None) -> None:
    level = logging.DEBUG if signal is task_enqueued else logging.INFO if error is None else logging.ERROR
    if tasks_logger.isEnabledFor(level) or not _only_django_logs(signal):
        _line().put(functools.partial(_send, signal, sender, copy.copy(result), error))  # in its present state
    else:
        metrics.count(signal, result)


def _only_django_logs(signal: Signal) -> bool:
    own = 1 if signal is task_started else 2  # Django has connected one to each, and the metrics one to the others
    return len(signal.receivers) <= own


def _send_and_tell(told: concurrent.futures.Future[None], *what: Any) -> None:
    try:
        _send(*what)
    finally:
        if not told.cancelled():
            told.set_result(None)


def _send(signal: Signal, sender: type, result: TaskResult, error: BaseException | None) -> None:
    try:
        if error is None:
            signal.send_robust(sender=sender, task_result=result)
        else:
            _send_handling(error, signal, sender, result)
    finally:
        for connection in connections.all(initialized_only=True):  # of this thread
            connection.close()


def _send_handling(error: BaseException, signal: Signal, sender: type, result: TaskResult) -> None:
    try:
        raise error
    except BaseException:  # noqa: BLE001 - Django's log takes the traceback from where it is being handled
        signal.send_robust(sender=sender, task_result=result)


_lines: dict[int, SimpleQueue[Callable[[], Any]]] = {}
"""By process: a fork has the queue, but not the thread."""


def _line() -> SimpleQueue[Callable[[], Any]]:
    """Return the queue of the thread that calls what is put into it, in order."""
    if (line := _lines.get(os.getpid())) is None:
        line = _lines.setdefault(os.getpid(), SimpleQueue())
        threading.Thread(target=_work, args=[line], name="daf_views-tasks", daemon=True).start()
    return line


def _work(line: SimpleQueue[Callable[[], Any]]) -> None:
    while True:
        work = line.get()
        try:
            work()
        except Exception:  # noqa: BLE001 - as logging itself does: the receivers that follow must still be called
            traceback.print_exc()
        del work
