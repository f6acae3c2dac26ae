"""``InProcessBackend``: tasks of Django's Tasks API, run by the process that enqueues them, on its event loop.

For what may be lost: a power cut, a SIGKILL or a full machine takes what has not finished. SIGTERM does not, see
:mod:`daf_views.tasks.supervisor`. A task that must not be lost is ``durable=True`` and goes to another backend.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.checks import Error
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.crypto import get_random_string

from daf_orm import transaction
from daf_views.draining import current_drain
from daf_views.exceptions import ShuttingDownError
from daf_views.tasks.compat import BaseTaskBackend, TaskResult, task_backends, task_enqueued
from daf_views.tasks.loops import loop_for
from daf_views.tasks.results import Results, new_result
from daf_views.tasks.supervisor import Entry, Supervisor
from daf_views.tasks.telling import tell_soon

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.core.checks import CheckMessage

_PATIENCE = 30.0
"""Seconds that a thread waits for an event loop which does not get round to it."""
_OPTIONS: Mapping[str, Any] = {"CONCURRENCY": 20, "MAX_QUEUED": 10_000, "OVERFLOW": None, "DATABASE": DEFAULT_DB_ALIAS}


class InProcessBackend(BaseTaskBackend):
    """Runs up to ``CONCURRENCY`` tasks at a time on each event loop; up to ``MAX_QUEUED`` more wait in memory.

    What the server's stop leaves over goes to the backend ``OVERFLOW``, or is named in the log. Enqueued inside a
    transaction on ``DATABASE``, a task runs when that has committed, and not at all if it is rolled back.
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
        self.results = _results(alias)

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> TaskResult:
        """Queue a task, from async or synchronous code. What it is given must be JSON.

        Raises TaskQueueFullError, NoEventLoopError, or ShuttingDownError once the server has stopped working.
        """
        loop = loop_for(task.module_path)
        supervisor = self.supervisor(loop)
        result = new_result(self.alias, task, args, kwargs)
        enqueuing = _Enqueuing(supervisor, loop, result)
        self.results.add(result)
        self._when_committed(enqueuing, loop)
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

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        """Name options that are unknown or wrong."""
        return [*super().check(**kwargs), *(Error(text, id="daf_views.E006") for text in self._problems())]

    def _problems(self) -> list[str]:
        where = f"TASKS[{self.alias!r}]['OPTIONS']"
        texts = [f"{where}[{key!r}] is not a known option." for key in self.options if key not in _OPTIONS]
        for key in ("CONCURRENCY", "MAX_QUEUED"):
            value = self.options.get(key, 1)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                texts.append(f"{where}[{key!r}] must be a whole number, 1 or more, not {value!r}.")
        if self.overflow == self.alias or (self.overflow is not None and self.overflow not in task_backends.settings):
            texts.append(f"{where}['OVERFLOW'] must be another alias of TASKS, not {self.overflow!r}.")
        if self._database not in connections.settings:
            texts.append(f"{where}['DATABASE'] must be an alias of DATABASES, not {self._database!r}.")
        return texts

    def supervisor(self, loop: asyncio.AbstractEventLoop) -> Supervisor:
        """Return what runs this backend's tasks on an event loop."""
        return _supervisor(self, loop)

    def _when_committed(self, enqueuing: _Enqueuing, loop: asyncio.AbstractEventLoop) -> None:
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the cheap way to ask
            transaction.on_commit(enqueuing.aput, using=self._database)
        elif connections[self._database].in_atomic_block:
            transaction.on_commit(enqueuing.put, using=self._database)
        else:
            enqueuing.put()


class _Enqueuing:
    """A place in the queue, until the task takes it; given back if it never does, because of a rollback."""

    def __init__(self, supervisor: Supervisor, loop: asyncio.AbstractEventLoop, result: TaskResult) -> None:
        self._supervisor = supervisor
        self._loop = loop
        self._result = result
        self._is_done = True  # for the finalizer, should there be no place
        self._place = supervisor.reserve()
        self._is_done = False

    async def aput(self) -> None:
        """Put the task in the queue, on the event loop that it was enqueued on."""
        if asyncio.get_running_loop() is self._loop:
            self._put()
        else:  # under a synchronous parent
            self.put()

    def put(self) -> None:
        """Put the task in the queue, from a thread."""
        self._loop.call_soon_threadsafe(self._put)

    def _put(self) -> None:
        self._is_done = True
        self._supervisor.release(self._place)
        self._supervisor.put(Entry(self._result))
        tell_soon(task_enqueued, type(self._supervisor.backend), self._result)

    def __del__(self) -> None:
        if not self._is_done:
            self._supervisor.release(self._place)
            self._supervisor.backend.results.forget(self._result.id)


@functools.cache
def _results(alias: str) -> Results:  # noqa: ARG001 - one for each
    # Of the process: Django makes a backend for each thread and each task that asks for one.
    return Results()


_supervisors: dict[tuple[asyncio.AbstractEventLoop, str], Supervisor] = {}


def _supervisor(backend: InProcessBackend, loop: asyncio.AbstractEventLoop) -> Supervisor:
    key = (loop, backend.alias)
    if (known := _supervisors.get(key)) is not None:
        return known
    if asyncio._get_running_loop() is not loop:  # noqa: SLF001 - the cheap way to ask
        return asyncio.run_coroutine_threadsafe(_make_supervisor(backend, loop), loop).result(_PATIENCE)
    return _make(backend, loop)


async def _make_supervisor(backend: InProcessBackend, loop: asyncio.AbstractEventLoop) -> Supervisor:
    return _supervisors.get((loop, backend.alias)) or _make(backend, loop)


def _make(backend: InProcessBackend, loop: asyncio.AbstractEventLoop) -> Supervisor:
    drain = current_drain()
    if drain.is_over:
        raise ShuttingDownError("The server has stopped working, and runs no task any more.")
    for closed in [key for key in _supervisors if key[0].is_closed()]:
        _supervisors.pop(closed).name_what_is_left()
    supervisor = _supervisors[loop, backend.alias] = Supervisor(backend, get_random_string(32))
    drain.finish_with(supervisor.drain)
    return supervisor


@atexit.register
def _name_what_is_left() -> None:
    for supervisor in _supervisors.values():
        supervisor.name_what_is_left()


def _forget(*, setting: str, **_: object) -> None:
    if setting == "TASKS":
        _supervisors.clear()
        _results.cache_clear()


setting_changed.connect(_forget, dispatch_uid="daf_views.tasks")
