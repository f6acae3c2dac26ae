"""``InProcessBackend``: tasks of the Django Tasks API, run by the process that enqueues them, on its event loop.

For tasks that may be lost: a power cut, a SIGKILL or a lack of memory loses unfinished ones. SIGTERM does not, see
:mod:`daf_views.tasks.in_process.supervisor`. A task that must not be lost is ``durable=True`` and goes to another
backend.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import logging
import os
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.crypto import get_random_string

from daf_orm import transaction
from daf_views._core.drain import current_drain
from daf_views._django.transactions import in_sync_atomic_block
from daf_views.exceptions import ShuttingDownError
from daf_views.tasks.compat import BaseTaskBackend, TaskResult, task_backends, task_enqueued
from daf_views.tasks.event_loop import call_on, loop_for, running_loop
from daf_views.tasks.in_process.results import Results
from daf_views.tasks.in_process.supervisor import PendingTask, Supervisor
from daf_views.tasks.notifier import flush, log_soon, send_soon
from daf_views.tasks.result import new_result
from daf_views.tasks.task import is_durable

if TYPE_CHECKING:
    from collections.abc import Mapping


_OPTIONS: Mapping[str, Any] = {"CONCURRENCY": 20, "MAX_QUEUED": 10_000, "OVERFLOW": None, "DATABASE": DEFAULT_DB_ALIAS}


class InProcessBackend(BaseTaskBackend):
    """Runs up to ``CONCURRENCY`` tasks at a time on each event loop; up to ``MAX_QUEUED`` more wait in memory.

    Tasks that are unfinished when the server stops go to the backend ``OVERFLOW``, or are named in the log. Enqueued
    inside a transaction on ``DATABASE``, a task runs when that has committed, and not at all if it is rolled back.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True
    is_durable: ClassVar[bool] = False
    enqueues_at_once: ClassVar[bool] = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        options = {**_OPTIONS, **self.options}
        self.concurrency: int = options["CONCURRENCY"]
        self.max_queued: int = options["MAX_QUEUED"]
        self.overflow: str | None = options["OVERFLOW"]
        self._database: str = options["DATABASE"]

    @property
    def results(self) -> Results:
        """The results of the tasks that were enqueued in this process."""
        return _results(self.alias)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult:
        """Queue a task, from async or synchronous code. Its arguments must be JSON.

        Raises TaskQueueFullError, NoEventLoopError, or ShuttingDownError once the server has stopped.
        """
        loop = loop_for(task.module_path)
        supervisor = self.supervisor(loop)
        result = new_result(self.alias, task, args, kwargs)
        enqueuing = _Enqueuing(supervisor, loop, result)
        self.results.add(result)
        self._when_committed(enqueuing)
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult:
        """Queue a task."""
        return self.enqueue(task, args, kwargs)

    def get_result(self, result_id: str) -> TaskResult:
        """Return what has become of a task that this process was given."""
        return self.results.get(result_id)

    async def aget_result(self, result_id: str) -> TaskResult:
        """Return what has become of a task that this process was given."""
        return self.results.get(result_id)

    def problems(self) -> list[str]:
        """Return the mistakes in the options, a sentence each."""
        where = f"TASKS[{self.alias!r}]['OPTIONS']"
        texts = [f"{where}[{key!r}] is not a known option." for key in self.options if key not in _OPTIONS]
        for key in ("CONCURRENCY", "MAX_QUEUED"):
            value = self.options.get(key, 1)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                texts.append(f"{where}[{key!r}] must be a whole number, 1 or more, not {value!r}.")
        if self.overflow == self.alias or (self.overflow is not None and self.overflow not in task_backends.settings):
            texts.append(f"{where}['OVERFLOW'] must be another alias of TASKS, not {self.overflow!r}.")
        elif self.overflow is not None and not is_durable(task_backends[self.overflow]):
            texts.append(f"{where}['OVERFLOW'] is {self.overflow!r}, which keeps tasks in memory only, too.")
        if self._database not in connections.settings:
            texts.append(f"{where}['DATABASE'] must be an alias of DATABASES, not {self._database!r}.")
        return texts

    def supervisor(self, loop: asyncio.AbstractEventLoop) -> Supervisor:
        """Return the supervisor of this backend's tasks on an event loop."""
        return _supervisor(self, loop)

    def _when_committed(self, enqueuing: _Enqueuing) -> None:
        if running_loop() is not None:
            transaction.on_commit(enqueuing.aput, using=self._database)
        elif in_sync_atomic_block(self._database):
            transaction.on_commit(enqueuing.put, using=self._database)
        else:
            enqueuing.put()


class _Enqueuing:
    """A slot in the queue, until the task takes it; released if it never does, because of a rollback."""

    def __init__(self, supervisor: Supervisor, loop: asyncio.AbstractEventLoop, result: TaskResult) -> None:
        self._supervisor = supervisor
        self._loop = loop
        self._result = result
        self._is_done = True  # for the finalizer, should there be no place
        self._place = supervisor.reserve()
        self._is_done = False

    async def aput(self) -> None:
        """Put the task in the queue, from an event loop."""
        if asyncio.get_running_loop() is self._loop:
            self._put()
        else:
            self.put()

    def put(self) -> None:
        """Put the task in the queue, from a thread."""
        self._is_done = True
        try:
            self._loop.call_soon_threadsafe(self._put)
        except RuntimeError:  # it has ended since
            self._supervisor.release(self._place)
            log_soon(
                logging.ERROR, "The event loop has ended, and a task was not started: %s.", PendingTask(self._result)
            )

    def _put(self) -> None:
        self._is_done = True
        self._supervisor.release(self._place)
        self._supervisor.put(PendingTask(self._result))
        send_soon(task_enqueued, type(self._supervisor.backend), self._result)

    def __del__(self) -> None:
        if not self._is_done:
            self._supervisor.release(self._place)
            self._supervisor.backend.results.forget(self._result.id)
            log_soon(
                logging.INFO, "%s was not enqueued: rolled back, or skipped after an error.", PendingTask(self._result)
            )


@functools.cache
def _results(alias: str) -> Results:  # noqa: ARG001 - one for each
    # Of the process: Django makes a backend for each thread and each task that asks for one.
    return Results()


_supervisors: dict[tuple[asyncio.AbstractEventLoop, str], Supervisor] = {}


def _supervisor(backend: InProcessBackend, loop: asyncio.AbstractEventLoop) -> Supervisor:
    if (known := _supervisors.get((loop, backend.alias))) is not None:
        return known
    return call_on(loop, lambda: _make(backend, loop), f"A task of the backend {backend.alias!r}")


def _make(backend: InProcessBackend, loop: asyncio.AbstractEventLoop) -> Supervisor:
    if (known := _supervisors.get((loop, backend.alias))) is not None:  # another thread was faster
        return known
    drain = current_drain()
    if drain.is_over:
        raise ShuttingDownError("The server has stopped, and runs no more tasks.")
    for closed in [key for key in _supervisors if key[0].is_closed()]:
        _supervisors.pop(closed).log_unfinished()
    supervisor = _supervisors[loop, backend.alias] = Supervisor(backend, get_random_string(32))
    drain.add(supervisor)
    return supervisor


@atexit.register
def _log_unfinished() -> None:
    for supervisor in _supervisors.values():
        supervisor.log_unfinished()
    flush()


def _after_fork() -> None:
    """Leave the parent's tasks to the parent."""
    _supervisors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _forget(*, setting: str, **_: object) -> None:
    if setting == "TASKS":
        _supervisors.clear()
        _results.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_views.tasks")
