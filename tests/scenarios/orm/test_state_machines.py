"""The invariants of the pool and of transactions, against models, over whatever Hypothesis can think of."""

import asyncio
import contextlib
import contextvars
import itertools
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests, get_pool, transaction
from daf_orm._leases.lease import Lease
from daf_orm._pool.pool import ConnectionPool
from tests.project.library.models import Event

PROFILE = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Loop:
    """An event loop in a separate thread, controlled from outside."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def settle(task: "asyncio.Task[Any]") -> None:
    """Let a task run as far as it comes without help."""
    for _ in range(5):
        if task.done():
            return
        await asyncio.sleep(0)


class PoolMachine(RuleBasedStateMachine):
    """Lend, return, cancel, time out, close and reopen, from two event loops, against a queue on paper."""

    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.loops = [Loop(), Loop()]
        self.pool = ConnectionPool(max_size=2, max_waiting=3, timeout=30)
        self.held: list[asyncio.Task[Lease]] = []
        self.waiting: list[asyncio.Task[Lease]] = []

    def teardown(self) -> None:
        for task in [*self.waiting]:
            self._on(task, lambda task: task.cancel())
        for task in self.held:
            self.pool.put_back(task.result())
        for loop in self.loops:
            loop.close()
        self.pool.close()

    def _on(self, task: "asyncio.Task[Lease]", act: Callable[["asyncio.Task[Lease]"], object]) -> None:
        loop = next(loop for loop in self.loops if loop.loop is task.get_loop())

        async def work() -> None:
            act(task)
            await settle(task)

        loop.do(work())

    @rule(target=tasks, where=st.integers(0, 1), timeout=st.sampled_from([None, 0.0]))
    def lend(self, where: int, timeout: float | None) -> object:
        async def begin() -> "asyncio.Task[Lease]":
            task = asyncio.get_running_loop().create_task(self.pool.lend(timeout=timeout))
            if timeout is None:
                await settle(task)
            else:
                await asyncio.wait([task])
            return task

        free = len(self.held) < 2 and not self.waiting
        task = self.loops[where].do(begin())
        if self.pool.closed:
            assert isinstance(task.exception(), PoolClosed)
        elif free:
            assert task.done()
            self.held.append(task)
            return task
        elif len(self.waiting) >= 3:
            assert isinstance(task.exception(), TooManyRequests)
        elif timeout is not None:
            assert isinstance(task.exception(), PoolTimeout)
        else:
            assert not task.done()
            self.waiting.append(task)
            return task
        return multiple()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), clean=st.booleans())
    def give_back(self, data: st.DataObject, *, clean: bool) -> None:
        task = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        (self.pool.finish if clean else self.pool.put_back)(task.result())
        self.pool.put_back(task.result())  # twice is once
        self._promote()

    @rule(task=consumes(tasks), times=st.integers(1, 3))
    def cancel(self, task: "asyncio.Task[Lease]", times: int) -> None:
        if task not in self.waiting:
            return
        self.waiting.remove(task)
        self._on(task, lambda task: [task.cancel() for _ in range(times)])
        assert task.cancelled()

    @precondition(lambda self: self.waiting and self.held)
    @rule()
    def cancel_while_it_is_handed_over(self) -> None:
        """The first waiter is given a lease and cancelled before it can notice."""
        first, lender = self.waiting.pop(0), self.held.pop(0)

        def hand_over_and_cancel(task: "asyncio.Task[Lease]") -> None:
            self.pool.put_back(lender.result())
            task.cancel()

        self._on(first, hand_over_and_cancel)
        assert first.cancelled()
        self._promote()

    @rule()
    def close_and_open(self) -> None:
        self.pool.close()
        for task in self.waiting:
            self._on(task, lambda _: None)
            assert isinstance(task.exception(), PoolClosed)
        self.waiting.clear()
        for task in self.held:
            self.pool.finish(task.result())
        self.held.clear()
        self.pool.open()

    def _promote(self) -> None:
        """First come, first served: on paper, and in the pool."""
        while self.waiting and len(self.held) < 2:
            task = self.waiting.pop(0)
            self._on(task, lambda _: None)
            assert task.done()
            self.held.append(task)

    @invariant()
    def the_statistics_tell_the_truth(self) -> None:
        stats = self.pool.get_stats()
        assert stats["pool_size"] - stats["pool_available"] == len(self.held)
        assert stats["pool_size"] <= 2
        assert stats["requests_waiting"] == len(self.waiting)

    @invariant()
    def nobody_shares_a_lease(self) -> None:
        assert len({id(task.result().connections) for task in self.held}) == len(self.held)


@pytest.mark.no_database
def test_the_pool_keeps_its_promises() -> None:
    run_state_machine_as_test(PoolMachine, settings=PROFILE)


class Boom(Exception):
    """Ends a block."""


LEAVES = st.sampled_from(["write", "child", "cancelled child", "hook"])
BLOCKS = st.recursive(
    st.lists(LEAVES, max_size=3),
    lambda inner: st.lists(st.one_of(LEAVES, st.tuples(st.sampled_from(["ends", "raises"]), inner)), max_size=4),
    max_leaves=12,
)
PLANS = st.lists(
    st.tuples(st.sampled_from(["ends", "raises", "cancelled", "cancelled twice"]), BLOCKS), min_size=1, max_size=3
)


class Plan:
    """Runs blocks as planned, and writes down which rows and callbacks there must be afterwards."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.called: list[str] = []
        self.rows: set[str] = set()
        self.hooks: set[str] = set()

    async def run(self, plans: list[tuple[str, list[Any]]]) -> None:
        await asyncio.gather(*(self._outermost(how, steps) for how, steps in plans))

    async def _outermost(self, how: str, steps: list[Any]) -> None:
        rows, hooks = set[str](), set[str]()
        reached = asyncio.Event()

        async def work() -> None:
            async with transaction.atomic():
                await self._steps(steps, rows, hooks)
                reached.set()
                if how == "raises":
                    raise Boom
                if how != "ends":
                    await asyncio.Event().wait()

        # A new context: these are unrelated tasks, as two requests are.
        task = asyncio.get_running_loop().create_task(work(), context=contextvars.Context())
        waiter = asyncio.ensure_future(reached.wait())
        await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if how.startswith("cancelled"):
            task.cancel()
        if how == "cancelled twice":
            await asyncio.sleep(0)
            task.cancel()
        with contextlib.suppress(Boom, asyncio.CancelledError):
            await task
        if how == "ends":
            self.rows |= rows
            self.hooks |= hooks

    async def _steps(self, steps: list[Any], rows: set[str], hooks: set[str]) -> None:
        for step in steps:
            if isinstance(step, str):
                await getattr(self, "_" + step.replace(" ", "_"))(rows, hooks)
            else:
                await self._nested(*step, rows, hooks)

    async def _write(self, rows: set[str], _: set[str]) -> None:
        name = f"row {next(self._numbers)}"
        rows.add(name)
        await Event.objects.acreate(name=name)

    async def _child(self, rows: set[str], hooks: set[str]) -> None:
        await asyncio.gather(self._write(rows, hooks), self._write(rows, hooks))

    async def _cancelled_child(self, rows: set[str], hooks: set[str]) -> None:
        """Cancelled before it could begin: nothing of it may remain."""
        child = asyncio.create_task(self._write(set(), hooks))
        child.cancel()
        with pytest.raises(asyncio.CancelledError):
            await child

    async def _hook(self, _: set[str], hooks: set[str]) -> None:
        name = f"hook {next(self._numbers)}"
        hooks.add(name)

        async def called() -> None:
            self.called.append(name)

        transaction.on_commit(called if len(hooks) % 2 else lambda: self.called.append(name))

    async def _nested(self, how: str, steps: list[Any], rows: set[str], hooks: set[str]) -> None:
        inner_rows, inner_hooks = set[str](), set[str]()
        with contextlib.suppress(Boom):
            async with transaction.atomic():
                await self._steps(steps, inner_rows, inner_hooks)
                if how == "raises":
                    raise Boom
            rows |= inner_rows
            hooks |= inner_hooks


class TransactionMachine(RuleBasedStateMachine):
    """Overlapping transactions, nested, gathered, raising and cancelled, against the rows that must exist."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        Event.objects.all().delete()

    def teardown(self) -> None:
        self.loop.close()
        Event.objects.all().delete()

    @rule(plans=PLANS)
    def run_blocks(self, plans: list[tuple[str, list[Any]]]) -> None:
        plan = Plan()
        self.loop.run_until_complete(asyncio.wait_for(plan.run(plans), 30))
        assert set(plan.called) == plan.hooks
        assert len(plan.called) == len(plan.hooks)
        seen = set(Event.objects.values_list("name", flat=True))
        assert seen == plan.rows
        Event.objects.all().delete()

    @invariant()
    def every_lease_is_back_and_clean(self) -> None:
        stats = get_pool().get_stats()
        assert stats["pool_available"] == stats["pool_size"]
        assert stats["returns_bad"] == 0
        assert not connection.in_atomic_block


def test_transactions_keep_exactly_the_rows_of_blocks_that_succeeded() -> None:
    run_state_machine_as_test(TransactionMachine, settings=settings(PROFILE, max_examples=12, stateful_step_count=6))
