"""An asyncio worker for django-tasks-db's tasks: many at a time, tried by their policy, and none lost with a process.

It takes a task when it has room for it, makes one attempt, and writes down what came of that. A pause before the next
is the database's to keep, and takes no place here. Its own writing is done by one thread with a connection of its own:
tasks that fill the pool do not keep it from saying that they have ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from django.db import DataError, Error, connections

from daf_views.draining import current_drain
from daf_views.tasks.compat import task_backends, task_started
from daf_views.tasks.database.heartbeat import Heartbeat
from daf_views.tasks.task import Outcome, log_retry, outcome_of, policy_of
from daf_views.tasks.telling import flush, log_soon, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from daf_views.tasks.database.ledger import Claim, Ledger

P = ParamSpec("P")
T = TypeVar("T")

GRACE = 2.0
"""Seconds for what is cancelled at the end to be quiet."""
_MAX_PAUSE = 5.0
"""Seconds between two attempts at reaching the database, at most."""


class DatabaseWorker:
    """Runs the tasks of a ledger's queues on the running event loop; a worker of its drain, which stops it."""

    def __init__(
        self, ledger: Ledger, *, interval: float = 1.0, batch: bool = False, max_tasks: int | None = None
    ) -> None:
        self._ledger = ledger
        self._interval = interval
        """Seconds after which an idle worker looks for tasks again."""
        self._batch = batch
        """Whether it ends when nothing is due."""
        self._left = max_tasks
        """How many more it takes."""
        self._running: dict[Claim, asyncio.Task[None]] = {}
        self._cut_off: list[Claim] = []
        self._taking: asyncio.Task[int | None] | None = None
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._is_closed = False
        """Whether what runs is cancelled, and goes back."""
        self._has_left = False
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="daf_worker")
        self._loop = asyncio.get_running_loop()
        self._heartbeat = Heartbeat(ledger, self._on_lost)

    async def run(self) -> None:
        """Take tasks and run them until the drain begins; in a batch, until nothing is due.

        Raises what the database does, if it cannot even begin.
        """
        drain = current_drain()
        await self._call(self._ledger.register)
        log_soon(logging.INFO, "%s runs tasks of %s.", self._ledger.worker_id, self._ledger.queues)
        drain.add(self)
        self._heartbeat.start()
        await self._call(self._ledger.recover)
        requested = asyncio.ensure_future(drain.wait())
        requested.add_done_callback(lambda _: self._changed.set())
        try:
            while not (drain.requested or self._is_stopping) and await self._go_on():
                pass
        finally:
            requested.cancel()
        log_soon(logging.INFO, "%s takes no more, and waits for %d tasks.", self._ledger.worker_id, len(self._running))

    def hurry(self) -> None:
        """Cancel what runs, and let it go back, before the drain's time is up."""
        self._is_closed = True
        for running in self._running.values():
            running.cancel()

    # Taking

    async def _go_on(self) -> bool:
        """Take what there is room for, and wait for more. Return whether there may be any."""
        self._changed.clear()
        room = self._room()
        taken = await self._take(room) if room else 0
        if not self._running and (self._left == 0 or (self._batch and taken == 0)):
            return False
        if not room or taken != room:
            with suppress(TimeoutError):  # workers that were started together do not ask together
                async with asyncio.timeout(self._interval * random.uniform(0.5, 1.0)):  # noqa: S311 - keeps no secret
                    await self._changed.wait()
        return True

    def _room(self) -> int:
        places = self._ledger.concurrency - len(self._running)
        return places if self._left is None else min(places, self._left)

    async def _take(self, count: int) -> int | None:
        """Take up to so many tasks and start them; return how many, or None if the database cannot say."""
        # A task of its own, which nobody cancels: what the database has given must be run, or given back.
        self._taking = self._loop.create_task(self._take_and_start(count))
        return await asyncio.shield(self._taking)

    async def _take_and_start(self, count: int) -> int | None:
        try:
            claims = await self._call(self._ledger.take, count)
        except Error as error:
            log_soon(logging.ERROR, "The worker cannot take tasks, and asks again soon.", error=error)
            return None
        finally:
            self._changed.set()
        if self._left is not None:
            self._left -= len(claims)
        for claim in claims:
            self._start(claim)
        return len(claims)

    def _start(self, claim: Claim) -> None:
        """Run a task in a context of its own: nobody's lease, transaction or language."""
        if self._is_closed:
            self._cut_off.append(claim)
            return
        running = self._loop.create_task(self._run(claim), context=contextvars.Context())
        running.set_name(f"task {claim}")
        self._running[claim] = running
        running.add_done_callback(functools.partial(self._ended, claim))

    def _ended(self, claim: Claim, running: asyncio.Task[None]) -> None:
        del self._running[claim]
        self._changed.set()
        if running.cancelled():
            if self._is_ours(claim):
                self._cut_off.append(claim)
        elif (error := running.exception()) is not None:
            log_soon(logging.ERROR, "The account of a task came to grief: %s.", claim, error=error)

    def _is_ours(self, claim: Claim) -> bool:
        return claim.worker_id == self._ledger.worker_id

    def _on_lost(self) -> None:
        self._loop.call_soon_threadsafe(self._stop_what_others_took)

    def _stop_what_others_took(self) -> None:
        """Cancel what ran when this worker was taken for dead: others run it now."""
        for claim, running in self._running.items():
            if not self._is_ours(claim):
                log_soon(logging.ERROR, "The worker was quiet for too long, and others run now: %s.", claim)
                running.cancel()

    # One attempt

    async def _run(self, claim: Claim) -> None:
        outcome = await self._outcome_of(claim)
        if outcome.error is None:
            try:
                await self._write(self._ledger.succeed, claim.row, outcome.value)
            except DataError as error:  # PostgreSQL's JSON takes no NUL, for one
                outcome = Outcome(error=error)
        if outcome.error is None:
            return
        policy, attempts = policy_of(claim.result.task), len(claim.result.worker_ids)
        if attempts > policy.retries:
            await self._write(self._ledger.fail, claim.row, outcome.error)
        else:
            pause = policy.pause_after(attempts)
            log_retry(claim.result.task, attempts, pause, outcome.error)
            await self._write(self._ledger.try_again, claim.row, outcome.error, pause)

    async def _outcome_of(self, claim: Claim) -> Outcome:
        try:
            await tell(task_started, type(task_backends[claim.result.backend]), claim.result)
            return await outcome_of(claim.result)
        except asyncio.CancelledError as error:
            if self._is_closed or not self._is_ours(claim):
                raise
            running = asyncio.current_task()
            while running is not None and running.uncancel():  # the task has cancelled itself
                pass
            return Outcome(error=error)

    # The database

    async def _call(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the ledger in its thread. When an await of this is cancelled, the call goes on."""
        called = functools.partial(_in_a_sound_connection, func, *args, **kwargs)
        return await self._loop.run_in_executor(self._executor, called)

    async def _write(self, func: Callable[P, bool], *args: P.args, **kwargs: P.kwargs) -> None:
        """Write something down, as often as it takes. Raises DataError for what cannot be."""
        pause = 0.1
        while True:
            try:
                await self._call(func, *args, **kwargs)
            except DataError:
                raise
            except Error as error:
                log_soon(logging.ERROR, "The worker cannot write, and tries again in %s s.", pause, error=error)
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _MAX_PAUSE)

    # The end

    def is_idle(self) -> bool:
        """Whether it runs nothing, and is about to run nothing."""
        return not self._running and (self._taking is None or self._taking.done())

    async def idle(self) -> None:
        """Wait until it runs nothing."""
        while not self.is_idle():
            self._changed.clear()
            await self._changed.wait()

    def stop_by(self, deadline: float) -> None:  # noqa: ARG002 - pauses are the database's to keep
        """Take nothing any more."""
        self._is_stopping = True

    async def stop(self) -> None:
        """Cancel what runs and give it back to other workers; leave what will not be cancelled to the lease's end."""
        if self._has_left:
            return
        self._has_left = True
        self.hurry()
        try:
            if running := [*self._running.values(), *([self._taking] if self._taking is not None else [])]:
                await asyncio.wait(running, timeout=GRACE)
            await self._call(self._give_back)
            await self._loop.run_in_executor(None, self._heartbeat.stop)
            if self.is_idle():
                await self._call(self._ledger.unregister)
        except Error as error:
            log_soon(logging.ERROR, "The worker could not take its leave; its lease will end.", error=error)
        finally:
            self.name_what_is_left()
        await self._loop.run_in_executor(None, flush)

    def _give_back(self) -> None:
        while self._cut_off:
            if self._ledger.give_back(self._cut_off[-1].row):
                log_soon(logging.WARNING, "The worker stops, and gives back what it has begun: %s.", self._cut_off[-1])
            self._cut_off.pop()

    def name_what_is_left(self) -> None:
        """Log what is neither finished nor given back: others run it when this worker's lease has ended."""
        self._is_closed = True
        for claim in [*self._running, *self._cut_off]:
            log_soon(logging.ERROR, "The worker stops, and a task has not ended: %s.", claim)
        self._cut_off.clear()
        with suppress(RuntimeError):  # it has been shut down
            self._executor.submit(connections.close_all)
        self._executor.shutdown(wait=False)


def _in_a_sound_connection(func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function; leave no connection to the next one that this has found to be broken."""
    try:
        return func(*args, **kwargs)
    except Error:
        connections.close_all()
        raise
