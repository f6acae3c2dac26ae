"""Runs the tasks of one backend on one event loop: some at a time, the others in line, those that failed once more.

What it is given it keeps account of until it has ended: every task finishes, is handed over to another backend when the
server stops, or is named in the log.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import heapq
import itertools
import logging
from dataclasses import dataclass, field
from datetime import datetime
from traceback import format_exception
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from daf_orm import database_sync_to_async
from daf_views.draining import current_drain
from daf_views.exceptions import ShuttingDownError, TaskQueueFullError
from daf_views.tasks.compat import (
    TaskError,
    TaskResultStatus,
    task_backends,
    task_finished,
    task_started,
)
from daf_views.tasks.results import change
from daf_views.tasks.task import attempt, log_retry, policy_of
from daf_views.tasks.telling import tell

if TYPE_CHECKING:
    from daf_views.tasks.backend import InProcessBackend
    from daf_views.tasks.compat import TaskResult
    from daf_views.tasks.policy import Policy

logger = logging.getLogger("daf_views")


@dataclass(slots=True, eq=False)
class Entry:
    """A task that was enqueued."""

    result: TaskResult
    attempts: int = 0
    timer: asyncio.TimerHandle | None = None
    """Puts it in line when its time has come."""
    running: asyncio.Task[None] | None = None
    pause: float | None = None
    """Seconds until the next attempt, once this one has quite ended."""

    @property
    def policy(self) -> Policy:
        """The policy of its task."""
        return policy_of(self.result.task)

    def __str__(self) -> str:
        """Name it without what it was given: arguments may be secret, their names are not."""
        names = ", ".join([*(f"#{number}" for number in range(len(self.result.args))), *self.result.kwargs])
        return f"{self.result.task.module_path}({names}), id {self.result.id}"


@dataclass(slots=True)
class Supervisor:
    """The tasks of a backend on an event loop, on which all of this runs, but for :meth:`reserve`."""

    backend: InProcessBackend
    worker_id: str
    _line: list[tuple[int, int, Entry]] = field(default_factory=list)
    """A heap: the highest priority first, then the oldest."""
    _waiting: set[Entry] = field(default_factory=set)
    _running: set[Entry] = field(default_factory=set)
    _reserved: set[int] = field(default_factory=set)
    """Places of tasks that are enqueued when a transaction commits. Sets are changed by finalizers: without a lock."""
    _numbers: Any = field(default_factory=itertools.count)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _is_closed: bool = False

    def __len__(self) -> int:
        return len(self._line) + len(self._waiting) + len(self._running)

    def reserve(self) -> int:
        """Return a place for one more task. Raise TaskQueueFullError if there is none, ShuttingDownError at the end."""
        if self._is_closed:
            raise ShuttingDownError("The server has stopped working, and runs no task any more.")
        limit = self.backend.max_queued
        if len(self) + len(self._reserved) >= limit:
            raise TaskQueueFullError(
                f"{limit} tasks are in memory already ({self.backend.alias!r}). Raise MAX_QUEUED in its OPTIONS, or "
                "give the task a backend that keeps it for a worker."
            )
        place: int = next(self._numbers)
        self._reserved.add(place)
        return place

    def release(self, place: int) -> None:
        """Give a place back."""
        self._reserved.discard(place)

    def put(self, entry: Entry) -> None:
        """Run a task when its time has come and there is room."""
        run_after = entry.result.task.run_after
        seconds = 0.0 if run_after is None else (run_after - datetime.now(run_after.tzinfo)).total_seconds()
        self._put_in(entry, seconds)

    def _put_in(self, entry: Entry, seconds: float) -> None:
        if self._is_closed:
            current_drain().keep(asyncio.get_running_loop().create_task(self._give_up([entry])))
        elif seconds > 0:
            self._waiting.add(entry)
            entry.timer = asyncio.get_running_loop().call_later(seconds, self._come, entry)
        else:
            self._come(entry)

    def _come(self, entry: Entry) -> None:
        self._waiting.discard(entry)
        entry.timer = None
        heapq.heappush(self._line, (-entry.result.task.priority, next(self._numbers), entry))
        self._start()

    def _start(self) -> None:
        """Start as many as there is room for, each in a context of its own: nobody's lease, language or request."""
        while self._line and len(self._running) < self.backend.concurrency:
            _, _, entry = heapq.heappop(self._line)
            self._running.add(entry)
            loop = asyncio.get_running_loop()
            entry.running = loop.create_task(self._run(entry), context=contextvars.Context())
            entry.running.set_name(f"task {entry.result.task.module_path} {entry.result.id}")
            entry.running.add_done_callback(functools.partial(self._ended, entry))

    def _ended(self, entry: Entry, _: asyncio.Task[None]) -> None:
        self._running.discard(entry)
        entry.running = None
        self._changed.set()
        if self._is_closed:  # who has closed it sees to what is left
            return
        if entry.pause is not None:
            self._put_in(entry, entry.pause)
        self._start()

    async def _run(self, entry: Entry) -> None:
        result = entry.result
        entry.attempts, entry.pause = entry.attempts + 1, None
        now = timezone.now()
        change(result, status=TaskResultStatus.RUNNING, started_at=result.started_at or now, last_attempted_at=now)
        result.worker_ids.append(self.worker_id)
        await tell(task_started, type(self.backend), result)
        try:
            value = await attempt(result)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                change(result, status=TaskResultStatus.READY)
                if not self._is_closed:  # the event loop ends without a drain, and all others are cancelled too
                    await self._give_up(self._close())
                raise
            await self._failed(entry, error)
        except Exception as error:  # noqa: BLE001 - whatever a task raises; logged by Django
            await self._failed(entry, error)
        else:
            change(result, _return_value=value)
            await self._finish(entry, TaskResultStatus.SUCCESSFUL)

    async def _failed(self, entry: Entry, error: BaseException) -> None:
        kind = type(error)
        text = "".join(format_exception(error))
        entry.result.errors.append(
            TaskError(exception_class_path=f"{kind.__module__}.{kind.__qualname__}", traceback=text)
        )
        if entry.attempts > entry.policy.retries:
            await self._finish(entry, TaskResultStatus.FAILED, error)
            return
        change(entry.result, status=TaskResultStatus.READY)
        pause = entry.policy.pause_after(entry.attempts)
        await database_sync_to_async(log_retry)(entry.result.task, entry.attempts, pause, error)
        entry.pause = pause

    async def _finish(self, entry: Entry, status: TaskResultStatus, error: BaseException | None = None) -> None:
        change(entry.result, status=status, finished_at=timezone.now())
        self.backend.results.finish(entry.result)
        await tell(task_finished, type(self.backend), entry.result, error)

    # The end

    async def drain(self, timeout: float) -> None:
        """Let the tasks end, and those that they enqueue; after ``timeout`` seconds give up what is left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        await self._give_up(self._take_those_due_after(deadline))
        try:
            async with asyncio.timeout_at(deadline):
                while len(self):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            left = self._close()
        except asyncio.CancelledError:  # the server does not wait that long
            self._name_lost(self._close())
            raise
        else:
            left = self._close()
        running = [entry.running for entry in left if entry.running is not None]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await self._give_up([entry for entry in left if not entry.result.is_finished])

    def _take_those_due_after(self, deadline: float) -> list[Entry]:
        late = [entry for entry in self._waiting if entry.timer is not None and entry.timer.when() > deadline]
        for entry in late:
            self._stop_waiting(entry)
        return late

    def _stop_waiting(self, entry: Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer = None
        self._waiting.discard(entry)

    def _close(self) -> list[Entry]:
        """Take nothing any more; return what is left."""
        self._is_closed = True
        left = [*self._running, *(entry for _, _, entry in self._line), *self._waiting]
        for entry in tuple(self._waiting):
            self._stop_waiting(entry)
        self._line.clear()
        return left

    async def _give_up(self, entries: list[Entry]) -> None:
        """Hand tasks over to the backend for that; name in the log those that are lost."""
        for entry in entries:
            may_be_repeated = entry.attempts <= entry.policy.retries
            overflow = self.backend.overflow
            if overflow is not None and may_be_repeated and await self._hand_over(entry, overflow):
                continue
            await database_sync_to_async(self._name_lost)([entry])

    def _name_lost(self, entries: list[Entry]) -> None:
        for entry in entries:
            fate = "was cut off" if entry.attempts else "was not begun"
            logger.error("The server stops, and a task %s: %s.", fate, entry)
            self.backend.results.forget(entry.result.id)

    def name_what_is_left(self) -> None:
        """Log what the end of the process takes away."""
        if not self._is_closed:
            self._name_lost(self._close())

    async def _hand_over(self, entry: Entry, alias: str) -> bool:
        result = entry.result
        try:
            task = result.task.using(backend=alias)
            await task_backends[alias].aenqueue(task, result.args, result.kwargs)
        except Exception:  # noqa: BLE001 - whatever that backend raises; logged
            await database_sync_to_async(logger.exception)("%s could not be handed over to %r.", entry, alias)
            return False
        self.backend.results.forget(result.id)
        return True
