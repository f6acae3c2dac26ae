"""Runs the tasks of one backend on one event loop: some at a time, the others in line, retries included.

It keeps a record of each task until that has ended. Every task finishes, is handed over to another backend when the
server stops, or is named in the log. Nothing of that needs a connection of the pool.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import heapq
import itertools
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from django.utils import timezone

from daf_views._core.drain import current_drain
from daf_views.exceptions import ShuttingDownError, TaskQueueFullError
from daf_views.tasks.attempts import outcome_of
from daf_views.tasks.compat import TaskResultStatus, task_backends, task_finished, task_started
from daf_views.tasks.notifier import flush, log_soon, send
from daf_views.tasks.result import change, note
from daf_views.tasks.retry_policy import log_retry, policy_of
from daf_views.tasks.task import is_durable

if TYPE_CHECKING:
    from daf_views.tasks.compat import TaskResult
    from daf_views.tasks.in_process.results import Results
    from daf_views.tasks.retry_policy import RetryPolicy

GRACE = 2.0
"""Seconds beyond the deadline for cancelled tasks to end, and as many for handing over the others."""


@dataclass(slots=True, eq=False)
class PendingTask:
    """A task that was enqueued."""

    result: TaskResult
    attempts: int = 0
    timer: asyncio.TimerHandle | None = None
    """Puts it in line when its time has come."""
    running: asyncio.Task[None] | None = None
    pause: float | None = None
    """Seconds until the next attempt, once this one has quite ended."""
    is_settled: bool = False
    """True once it has finished, was handed over or was named."""

    @property
    def policy(self) -> RetryPolicy:
        """The policy of its task."""
        return policy_of(self.result.task)

    @property
    def fate(self) -> str:
        """Describe its state for the log, when it is lost."""
        if not self.attempts:
            return "was not started"
        return "was cut off" if self.running is None else "has not ended"

    def __str__(self) -> str:
        """Return its name without the values of its arguments, which may be secret; their names are not."""
        names = ", ".join([*(f"#{number}" for number in range(len(self.result.args))), *self.result.kwargs])
        return f"{self.result.task.module_path}({names}), id {self.result.id}"


class Supervised(Protocol):
    """The interface of a supervisor's backend: limits, and the results that others read."""

    alias: str
    concurrency: int
    max_queued: int
    overflow: str | None
    """The alias of the backend that is given the unfinished tasks when the process ends."""

    @property
    def results(self) -> Results:
        """The results of the tasks that it was given."""


@dataclass(slots=True, eq=False)
class Supervisor:
    """The tasks of a backend on an event loop. All methods run on it, except :meth:`reserve`."""

    backend: Supervised
    worker_id: str
    _line: list[tuple[int, int, PendingTask]] = field(default_factory=list)
    """A heap: the highest priority first, then the oldest."""
    _waiting: set[PendingTask] = field(default_factory=set)
    _running: set[PendingTask] = field(default_factory=set)
    _reserved: set[int] = field(default_factory=set)
    """Slots of tasks that are enqueued when a transaction commits. Sets are changed by finalizers: without a lock."""
    _numbers: Any = field(default_factory=itertools.count)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _deadline: float | None = None
    """The deadline for tasks to end, once the server stops."""
    _is_closed: bool = False

    def __len__(self) -> int:
        return len(self._line) + len(self._waiting) + len(self._running)

    def reserve(self) -> int:
        """Return a slot for one more task. Raise TaskQueueFullError if there is none, ShuttingDownError at the end."""
        if self._is_closed:
            raise ShuttingDownError("The server has stopped, and runs no more tasks.")
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
        """Release a slot."""
        self._reserved.discard(place)

    def put(self, entry: PendingTask) -> None:
        """Run a task when its time has come and there is room."""
        run_after = entry.result.task.run_after
        # In UTC: two times of one zone are subtracted as if its clocks were never put forward or back.
        seconds = 0.0 if run_after is None else (run_after.astimezone(UTC) - datetime.now(UTC)).total_seconds()
        self._put_in(entry, seconds)

    def _put_in(self, entry: PendingTask, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        is_too_late = self._deadline is not None and seconds > 0 and loop.time() + seconds > self._deadline
        if self._is_closed or is_too_late:
            current_drain().keep(loop.create_task(self._give_up([entry])))
        elif seconds > 0:
            self._waiting.add(entry)
            entry.timer = loop.call_later(seconds, self._come, entry)
        else:
            self._come(entry)

    def _come(self, entry: PendingTask) -> None:
        self._waiting.discard(entry)
        entry.timer = None
        heapq.heappush(self._line, (-entry.result.task.priority, next(self._numbers), entry))
        self._start()

    def _start(self) -> None:
        """Start as many as there is room for, each in a new context, without a lease, language or request."""
        while self._line and len(self._running) < self.backend.concurrency and not self._is_closed:
            _, _, entry = heapq.heappop(self._line)
            self._running.add(entry)
            loop = asyncio.get_running_loop()
            entry.running = loop.create_task(self._run(entry), context=contextvars.Context())
            entry.running.set_name(f"task {entry.result.task.module_path} {entry.result.id}")
            entry.running.add_done_callback(functools.partial(self._ended, entry))

    def _ended(self, entry: PendingTask, running: asyncio.Task[None]) -> None:
        self._running.discard(entry)
        entry.running = None
        self._changed.set()
        if not (running.cancelled() or (error := running.exception()) is None):
            log_soon(logging.ERROR, "Internal error while recording the outcome of task %s.", entry, error=error)
            self._name_lost([entry])
        elif entry.pause is not None:
            self._put_in(entry, entry.pause)
        self._start()

    # One attempt

    async def _run(self, entry: PendingTask) -> None:
        result = entry.result
        entry.attempts, entry.pause = entry.attempts + 1, None
        now = timezone.now()
        change(result, status=TaskResultStatus.RUNNING, started_at=result.started_at or now, last_attempted_at=now)
        result.worker_ids.append(self.worker_id)
        try:
            await send(task_started, type(self.backend), result)
            outcome = await outcome_of(result)
        except asyncio.CancelledError:
            if not self._is_closed:  # cancelled by the task itself, or at the end of the event loop
                entry.running = None
                self._name_lost([entry])
            raise
        if outcome.error is not None:
            await self._fail(entry, outcome.error)
        else:
            change(result, return_value=outcome.value)
            await self._finish(entry, TaskResultStatus.SUCCESSFUL)

    async def _fail(self, entry: PendingTask, error: BaseException) -> None:
        note(entry.result, error)
        if not entry.policy.allows(entry.attempts, error):
            await self._finish(entry, TaskResultStatus.FAILED, error)
            return
        change(entry.result, status=TaskResultStatus.READY)
        entry.pause = entry.policy.pause_after(entry.attempts)
        log_retry(entry.result.task, entry.attempts, entry.pause, error)

    async def _finish(self, entry: PendingTask, status: TaskResultStatus, error: BaseException | None = None) -> None:
        change(entry.result, status=status, finished_at=timezone.now())
        entry.is_settled = True
        self.backend.results.finish(entry.result)
        await send(task_finished, type(self.backend), entry.result, error)

    # The end

    def is_idle(self) -> bool:
        """Return True if it has no task."""
        return not len(self)

    async def idle(self) -> None:
        """Wait until it has no task."""
        while not self.is_idle():
            self._changed.clear()
            await self._changed.wait()

    def stop_by(self, deadline: float) -> None:
        """Start no pause that would end after the deadline, a time of the loop's clock; abandon those that would."""
        self._deadline = deadline
        late = [entry for entry in self._waiting if entry.timer is not None and entry.timer.when() > deadline]
        for entry in late:
            self._stop_waiting(entry)
        if late:
            current_drain().keep(asyncio.get_running_loop().create_task(self._give_up(late)))

    async def stop(self) -> None:
        """Take no further tasks; hand over or name the unfinished ones, also if this is cancelled."""
        self._is_closed = True
        running = list(self._running)
        left = [*(entry for _, _, entry in sorted(self._line, key=lambda each: each[:2])), *self._waiting]
        for entry in tuple(self._waiting):
            self._stop_waiting(entry)
        self._line.clear()
        try:
            await self._give_up(left)
            for entry in running:
                if entry.running is not None:
                    entry.running.cancel()
            if quiet := [entry.running for entry in running if entry.running is not None]:
                await asyncio.wait(quiet, timeout=GRACE)
            await self._give_up([entry for entry in running if entry.running is None])
        finally:
            self._name_lost([*left, *running])
        await asyncio.get_running_loop().run_in_executor(None, flush)

    def log_unfinished(self) -> None:
        """Log the tasks that are lost with the event loop, or with the process."""
        self._is_closed = True
        self._name_lost([*self._running, *(entry for _, _, entry in self._line), *self._waiting])

    def _stop_waiting(self, entry: PendingTask) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        entry.timer = None
        self._waiting.discard(entry)

    async def _give_up(self, entries: list[PendingTask]) -> None:
        """Hand tasks over to ``OVERFLOW``, as many as it takes in time; name the others in the log."""
        left = [entry for entry in entries if not entry.is_settled]
        overflow = self.backend.overflow
        if overflow is not None and (may_go := [entry for entry in left if entry.attempts <= entry.policy.retries]):
            places = asyncio.Semaphore(5)
            going = [asyncio.ensure_future(self._hand_over(entry, overflow, places)) for entry in may_go]
            _, late = await asyncio.wait(going, timeout=GRACE)
            for each in late:
                each.cancel()
            if late:
                await asyncio.wait(late)
        self._name_lost(left)

    async def _hand_over(self, entry: PendingTask, alias: str, places: asyncio.Semaphore) -> None:
        try:
            backend = task_backends[alias]
            if not is_durable(backend):
                return
            task = entry.result.task.using(backend=alias)
            async with places:
                await backend.aenqueue(task, entry.result.args, entry.result.kwargs)
        except Exception as error:  # noqa: BLE001 - any error of that backend; logged
            log_soon(logging.ERROR, "%s could not be handed over to %r.", entry, alias, error=error)
        else:
            entry.is_settled = True
            self.backend.results.forget(entry.result.id)

    def _name_lost(self, entries: list[PendingTask]) -> None:
        for entry in entries:
            if entry.is_settled:
                continue
            entry.is_settled = True
            log_soon(logging.ERROR, "The server stops, and a task %s: %s.", entry.fate, entry)
            change(entry.result, status=TaskResultStatus.FAILED, finished_at=timezone.now())
            self.backend.results.finish(entry.result)
