"""An asyncio worker for django-tasks-db's tasks: many at a time, tried by their policy, and none lost with a process.

It takes a task when it has room for it, makes one attempt, and writes down its outcome. The database keeps the pause
before the next attempt, which takes no room here. One thread with a separate connection does the worker's writes: tasks
that fill the pool do not keep it from recording that they have ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.db import Error, connections

from daf_views._core.cancellation import cancel_until_ended
from daf_views._core.drain import current_drain
from daf_views.tasks.attempts import Outcome, outcome_of, task_outcome
from daf_views.tasks.compat import task_backends, task_started
from daf_views.tasks.database import cancelling
from daf_views.tasks.database.connection_errors import UNREACHABLE, in_sound_connection, is_too_much
from daf_views.tasks.database.heartbeat import Heartbeat
from daf_views.tasks.database.listener import TaskListener
from daf_views.tasks.database.periodic import PeriodicTasks
from daf_views.tasks.notifier import flush, log_soon, send
from daf_views.tasks.retry_policy import log_retry, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from daf_views.tasks.database.queue import TakenTask, TaskQueue

P = ParamSpec("P")
T = TypeVar("T")

GRACE = 2.0
"""Seconds that tasks that are cancelled at the end may take."""
_MAX_PAUSE = 5.0
"""Seconds between two attempts at reaching the database, at most."""


class DatabaseWorker:
    """Runs the tasks of a queue's queues on the running event loop; a worker of its drain, which stops it."""

    def __init__(
        self, queue: TaskQueue, *, interval: float = 1.0, batch: bool = False, max_tasks: int | None = None
    ) -> None:
        self._queue = queue
        self._interval = interval
        """Seconds after which an idle worker looks for tasks again."""
        self._batch = batch
        """True if it ends when nothing is due."""
        self._left = max_tasks
        """The number of tasks that it still takes."""
        self._running: dict[TakenTask, asyncio.Task[Outcome]] = {}
        self._writing: dict[TakenTask, asyncio.Task[None]] = {}
        """Tasks that have ended, and are being written down."""
        self._cut_off: list[TakenTask] = []
        self._cancelled: set[TakenTask] = set()
        """Those of them that are cancelled and will not be re-queued."""
        self._periodic = PeriodicTasks(queue.queues.backend)
        self._watching: asyncio.Task[None] | None = None
        self._taking: asyncio.Task[int | None] | None = None
        self._recovering: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        """Set when there is room, or nothing more to do."""
        self._is_stopping = False
        self._is_closed = False
        """True if running tasks are cancelled, and re-queued."""
        self._has_left = False
        self._is_stuck = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="daf_worker")
        self._loop = asyncio.get_running_loop()
        self._heartbeat = Heartbeat(queue, on_lost=self._on(self._stop_taken_over), on_steady=self._on(self._recover))

    @property
    def is_left_running(self) -> bool:
        """Return True if, at the end, a task ignored its cancellation, or the database did not answer.

        Then a thread goes on, and the interpreter would wait for its end.
        """
        return self._has_left and (bool(self._running) or self._is_stuck)

    async def run(self) -> None:
        """Take tasks and run them until the drain begins; in a batch, until nothing is due.

        Raises the database's errors, if the worker cannot start.
        """
        drain = current_drain()
        await self._call(self._queue.register)
        log_soon(logging.INFO, "%s runs tasks of %s.", self._queue.worker_id, self._queue.queues)
        drain.add(self)
        self._heartbeat.start()
        requested = asyncio.ensure_future(drain.wait())
        requested.add_done_callback(lambda _: self._woken.set())
        self._watching = self._loop.create_task(self._watch_cancellations())
        beside = [self._loop.create_task(self._fire_on_time())]
        if not self._batch:
            beside.append(self._loop.create_task(TaskListener(self._queue.queues, self._woken.set).run()))
        try:
            if self._batch and self._periodic:  # periodic tasks that are due are part of the batch
                await self._fire()
            while not (drain.requested or self._is_stopping) and await self._go_on():
                pass
        finally:
            requested.cancel()
            await cancel_until_ended(beside, GRACE)
        log_soon(
            logging.INFO,
            "%s takes no more tasks, and waits for %d running ones.",
            self._queue.worker_id,
            len(self._running),
        )

    def hurry(self) -> None:
        """Cancel what runs, and let it go back, before the drain's time is up."""
        self._is_closed = True
        for running in self._running.values():
            running.cancel()

    def _on(self, func: Callable[[], None]) -> Callable[[], None]:
        """Return what a thread may call to have a function called here."""

        def call() -> None:
            with suppress(RuntimeError):  # the event loop has ended
                self._loop.call_soon_threadsafe(func)

        return call

    # Beside the tasks

    async def _fire_on_time(self) -> None:
        """Enqueue periodic tasks when they are due."""
        while self._periodic:
            pause = await self._fire()
            await asyncio.sleep(pause)

    async def _fire(self) -> float:
        """Enqueue periodic tasks that are due. Return the seconds until the next are."""
        try:
            fired = await self._call(self._periodic.fire)
        except Exception as error:  # noqa: BLE001 - the next time may go better; logged
            log_soon(logging.ERROR, "The worker cannot enqueue periodic tasks, and retries soon.", error=error)
            return self._interval
        if fired.enqueued:
            self._woken.set()
        return fired.pause

    async def _watch_cancellations(self) -> None:
        """Cancel running tasks for which a request has come."""
        while True:
            await asyncio.sleep(self._interval)
            if not self._running:
                continue
            try:
                requested = await self._call(cancelling.requested)
            except Exception as error:  # noqa: BLE001 - as above
                log_soon(logging.ERROR, "The worker cannot look for tasks to cancel.", error=error)
                continue
            for claim, running in self._running.items():
                if claim.row.pk in requested and claim not in self._cancelled:
                    self._cancelled.add(claim)
                    running.cancel()

    # Taking

    async def _go_on(self) -> bool:
        """Take as many tasks as there is room for, and wait for more. Return True if there may be any."""
        self._woken.clear()
        room = self._room()
        looked_at = await self._take(room) if room else 0
        if not (self._running or self._writing):
            if self._left == 0:
                return False
            if self._batch and looked_at == 0 and not await self._may_get_more():
                return False
        if not room or looked_at != room:
            with suppress(TimeoutError):  # workers that were started together do not ask together
                async with asyncio.timeout(self._interval * random.uniform(0.5, 1.0)):  # noqa: S311 - keeps no secret
                    await self._woken.wait()
        return True

    async def _may_get_more(self) -> bool:
        """Return True if other workers may have lost tasks, which are due as soon as that is certain."""
        try:
            return await self._call(self._queue.has_lost)
        except Error as error:
            log_soon(logging.ERROR, "The worker cannot look for tasks of lost workers.", error=error)
            return True

    def _room(self) -> int:
        slots = self._queue.concurrency - len(self._running) - len(self._writing)
        return slots if self._left is None else min(slots, self._left)

    async def _take(self, count: int) -> int | None:
        """Take up to so many tasks and start them; return how many were due, or None if that is unknown."""
        # A separate task, which is never cancelled: tasks taken from the database must be run, or re-queued.
        self._taking = self._loop.create_task(self._take_and_start(count))
        return await asyncio.shield(self._taking)

    async def _take_and_start(self, count: int) -> int | None:
        try:
            taken = await self._call(self._queue.take, count)
        except Exception as error:  # noqa: BLE001 - the next time may go better; logged
            log_soon(logging.ERROR, "The worker cannot take tasks, and retries soon.", error=error)
            return None
        if self._left is not None:
            self._left -= len(taken.claims)
        for claim in taken.claims:
            self._start(claim)
        return taken.looked_at

    def _start(self, claim: TakenTask) -> None:
        """Run a task in a new context, without a lease, transaction or language."""
        if self._is_closed:
            self._cut_off.append(claim)
        elif self._is_ours(claim):
            running = self._loop.create_task(self._attempt(claim), context=contextvars.Context())
            running.set_name(f"task {claim}")
            self._running[claim] = running
            running.add_done_callback(functools.partial(self._ended, claim))

    async def _attempt(self, claim: TakenTask) -> Outcome:
        await send(task_started, type(task_backends[claim.result.backend]), claim.result)
        return await outcome_of(claim.result)

    def _ended(self, claim: TakenTask, running: asyncio.Task[Outcome]) -> None:
        """Write the outcome of an attempt. The task occupies its slot until then."""
        del self._running[claim]
        self._woken.set()
        outcome = task_outcome(running)
        if self._has_left or not self._is_ours(claim):  # it has been named, and others run it
            self._cancelled.discard(claim)
            return
        if self._is_closed and outcome.error is not None and (running.cancelled() or running.cancelling()):
            self._cut_off.append(claim)
            return
        is_cancelled = claim in self._cancelled and outcome.error is not None
        written = self._persist(self._queue.cancel, claim.row) if is_cancelled else self._write(claim, outcome)
        writing = self._writing[claim] = self._loop.create_task(written)
        writing.add_done_callback(functools.partial(self._write_ended, claim))

    def _write_ended(self, claim: TakenTask, writing: asyncio.Task[None]) -> None:
        del self._writing[claim]
        self._cancelled.discard(claim)
        self._woken.set()
        if writing.cancelled():
            log_soon(logging.ERROR, "The outcome of task %s could not be written; it will run again.", claim)
        elif (error := writing.exception()) is not None:
            log_soon(logging.ERROR, "Internal error while recording the outcome of task %s.", claim, error=error)

    def _is_ours(self, claim: TakenTask) -> bool:
        return claim.worker_id == self._queue.worker_id

    def _stop_taken_over(self) -> None:
        """Cancel tasks that other workers run now, because this worker was considered lost."""
        for claim, running in self._running.items():
            if not self._is_ours(claim):
                log_soon(
                    logging.ERROR, "The worker missed its heartbeats; another worker has taken over task %s.", claim
                )
                running.cancel()

    def _recover(self) -> None:
        """Re-queue tasks of lost workers. Not in the heartbeat's thread: a lock would block the heartbeat."""
        if not self._has_left and (self._recovering is None or self._recovering.done()):
            self._recovering = self._loop.create_task(self._recover_now())

    async def _recover_now(self) -> None:
        try:
            await self._call(self._queue.recover)
        except Exception as error:  # noqa: BLE001 - the next time may go better; logged
            log_soon(logging.ERROR, "The worker cannot look for tasks of lost workers.", error=error)
        self._woken.set()

    # Writing

    async def _write(self, claim: TakenTask, outcome: Outcome) -> None:
        if outcome.error is None:
            try:
                await self._persist(self._queue.succeed, claim.row, outcome.value)
            except Exception as error:  # noqa: BLE001 - JSON or the database cannot hold it: then it is the task's failure
                outcome = Outcome(error=error)
        if outcome.error is None:
            return
        policy, attempts = policy_of(claim.result.task), len(claim.result.worker_ids)
        if not policy.allows(attempts, outcome.error):
            await self._persist(self._queue.fail, claim.row, outcome.error)
        else:
            pause = policy.pause_after(attempts)
            log_retry(claim.result.task, attempts, pause, outcome.error)
            await self._persist(self._queue.try_again, claim.row, outcome.error, pause)

    async def _persist(self, func: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Write to the database, and retry until it is reached. Raises errors that a retry cannot mend."""
        pause = 0.1
        while True:
            try:
                await self._call(func, *args, **kwargs)
            except UNREACHABLE as error:
                if is_too_much(error):
                    raise
                log_soon(
                    logging.ERROR, "The worker cannot write to the database, and retries in %s s.", pause, error=error
                )
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _MAX_PAUSE)

    async def _call(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the queue in its thread, in turn. When an await of this is cancelled, the call goes on."""
        called = functools.partial(in_sound_connection, func, *args, **kwargs)
        return await self._loop.run_in_executor(self._executor, called)  # noqa: DAF072 - stop() closes its connection

    # The end

    def is_idle(self) -> bool:
        """Return True if it runs nothing, and is about to run nothing."""
        return not self._busy()

    async def idle(self) -> None:
        """Wait until it runs nothing."""
        while busy := self._busy():
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)

    def _busy(self) -> list[asyncio.Task[Any]]:
        taking = [] if self._taking is None or self._taking.done() else [self._taking]
        return [*self._running.values(), *self._writing.values(), *taking]

    def stop_by(self, deadline: float) -> None:  # noqa: ARG002 - pauses are the database's to keep
        """Take no further tasks."""
        self._is_stopping = True

    async def stop(self) -> None:
        """Cancel and re-queue running tasks; those that ignore it are run again when the lease expires."""
        if self._has_left:
            return
        if self._watching is not None:
            self._watching.cancel()
        self.hurry()
        try:
            if busy := self._busy():
                await asyncio.wait(busy, timeout=GRACE)
            async with asyncio.timeout(GRACE):  # for a database that does not answer
                await self._take_leave()
        except (Error, TimeoutError) as error:
            self._is_stuck = isinstance(error, TimeoutError)
            log_soon(logging.ERROR, "The worker could not unregister on shutdown; its lease expires.", error=error)
        finally:
            self.log_unfinished()
        await self._stop_heartbeat()
        await self._loop.run_in_executor(None, flush)

    async def _take_leave(self) -> None:
        while True:  # in the queue's thread, so after a claim that was slow
            await self._persist(self._give_back)
            await asyncio.sleep(0)
            if not self._cut_off:
                break
        await self._stop_heartbeat()  # a heartbeat would register it again
        if self.is_idle():
            await self._persist(self._queue.unregister)

    async def _stop_heartbeat(self) -> None:
        await self._loop.run_in_executor(None, self._heartbeat.stop, GRACE)

    def _give_back(self) -> None:
        while self._cut_off:
            if self._queue.give_back(self._cut_off[-1].row):
                log_soon(
                    logging.WARNING,
                    "The worker stops, and re-queues a task that it had started: %s.",
                    self._cut_off[-1],
                )
            self._cut_off.pop()

    def log_unfinished(self) -> None:
        """Log tasks that are neither finished nor re-queued: others run them when this worker's lease has expired."""
        if self._has_left:
            return
        self._is_closed = self._has_left = True
        for claim in [*self._running, *self._cut_off]:
            log_soon(logging.ERROR, "The worker stops, and a task has not ended: %s.", claim)
        for writing in self._writing.values():
            writing.cancel()
        self._executor.submit(connections.close_all)
        self._executor.shutdown(wait=False)
