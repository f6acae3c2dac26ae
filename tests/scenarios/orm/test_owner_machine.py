"""Owners that set, read, gather, roll back, cancel and end, against a model of the expected state. DESIGN §8."""

import asyncio
import contextlib

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from daf_orm import cursor, database_sync_to_async, get_pool, pinned, transaction
from daf_orm.owners import Ownership
from tests.project.library.models import Counter
from tests.scenarios.orm.test_state_machines import PROFILE, Loop

OWNERS = 4
VALUES = st.integers(1001, 9999)


def run_sql(sql):
    with connection.cursor() as sync_cursor:
        sync_cursor.execute(sql)
        return sync_cursor.fetchone()[0] if sync_cursor.description else None


class Dialect:
    """A setting of the session that any value may be given, and a statement that ends only when it is stopped."""

    def __init__(self):
        self._change, self.look, self.endless = {
            "postgresql": (
                "SELECT set_config('app.value', '{}', false)",
                "SELECT current_setting('app.value', true)",
                "SELECT pg_sleep(60)",
            ),
            "mysql": ("SET @value = '{}'", "SELECT @value", "SELECT SLEEP(60)"),
            "sqlite": (
                "PRAGMA cache_size={}",
                "PRAGMA cache_size",
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
            ),
        }[connection.vendor]

    def change(self, value):
        return self._change.format(value)


async def by_hop(sql):
    return await database_sync_to_async(run_sql)(sql)


async def by_bare_hop(sql):
    return await sync_to_async(run_sql, thread_sensitive=False)(sql)


async def by_cursor(sql):
    async with cursor() as cur:
        await cur.execute(sql)
        return (await cur.fetchone())[0] if cur.description else None


async def by_block(sql):
    async with transaction.atomic():
        await Counter.objects.acount()
        return await by_hop(sql)


async def by_pinned(sql):
    async with pinned():
        return await by_hop(sql)


WAYS = st.sampled_from([by_hop, by_bare_hop, by_cursor, by_block, by_pinned])


class Request:
    """An owner that does what it is told, each thing in a child task, until it is to end."""

    def __init__(self):
        self._orders = asyncio.Queue()
        self._task = asyncio.create_task(self._serve())

    async def _serve(self):
        owner = Ownership("a request")
        try:
            while (order := await self._orders.get()) is not None:
                work, done = order
                outcome = (await asyncio.gather(asyncio.create_task(work), return_exceptions=True))[0]
                done.set_result(outcome)
        finally:
            owner.leave()
            if (cleaning := owner.end()) is not None:
                await cleaning

    async def do(self, work):
        done = asyncio.get_running_loop().create_future()
        self._orders.put_nowait((work, done))
        outcome = await done
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def end(self):
        self._orders.put_nowait(None)
        await self._task


class Owners(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.dialect = Dialect()
        self.loop = Loop()
        self.requests = []
        self.expected = []
        self.fresh = self._of_a_stranger()

    def _do(self, number, work):
        return self.loop.do(self.requests[number].do(work))

    def _of_a_stranger(self):
        async def look():
            return await asyncio.create_task(by_hop(self.dialect.look))

        return self.loop.do(look()) or None

    def _pick(self, choice):
        return choice % len(self.requests)

    @precondition(lambda self: len(self.requests) < OWNERS)
    @rule()
    def begin(self):
        async def make():
            return Request()

        self.requests.append(self.loop.do(make()))
        self.expected.append(self.fresh)

    @precondition(lambda self: self.requests)
    @rule(choice=st.integers(0, 99), way=WAYS, value=VALUES)
    def set(self, choice, way, value):
        number = self._pick(choice)
        self._do(number, way(self.dialect.change(value)))
        self.expected[number] = str(value)

    @precondition(lambda self: self.requests)
    @rule(choice=st.integers(0, 99), ways=st.lists(WAYS, min_size=1, max_size=4))
    def read_at_once(self, choice, ways):
        number = self._pick(choice)

        async def look():
            return await asyncio.gather(*(way(self.dialect.look) for way in ways))

        found = self._do(number, look())
        assert {str(each) if each else None for each in found} == {self.expected[number] and str(self.expected[number])}

    @precondition(lambda self: self.requests)
    @rule(choice=st.integers(0, 99), value=VALUES)
    def set_in_a_block_that_rolls_back(self, choice, value):
        number = self._pick(choice)

        async def work():
            with contextlib.suppress(KeyError):
                async with transaction.atomic():
                    await by_hop(self.dialect.change(value))
                    raise KeyError

        self._do(number, work())
        if connection.vendor != "postgresql":  # PRAGMAs and variables know no transactions
            self.expected[number] = str(value)
        elif self.expected[number] is None:
            self.expected[number] = self._do(number, by_hop(self.dialect.look)) or None
            assert self.expected[number] is None

    @precondition(lambda self: self.requests)
    @rule(choice=st.integers(0, 99), value=VALUES, times=st.integers(1, 3))
    def set_and_be_cancelled(self, choice, value, times):
        number = self._pick(choice)

        async def work():
            loop, has_set = asyncio.get_running_loop(), asyncio.Event()

            def set_and_go_on():
                run_sql(self.dialect.change(value))
                loop.call_soon_threadsafe(has_set.set)
                run_sql(self.dialect.endless)

            task = asyncio.create_task(database_sync_to_async(set_and_go_on)())
            await has_set.wait()
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([task])
            assert task.cancelled()

        self._do(number, work())
        self.expected[number] = str(value)

    @precondition(lambda self: self.requests)
    @rule(choice=st.integers(0, 99))
    def end(self, choice):
        number = self._pick(choice)
        self.loop.do(self.requests.pop(number).end())
        del self.expected[number]

    @rule()
    def a_stranger_finds_nothing(self):
        assert self._of_a_stranger() == self.fresh

    @invariant()
    def nobody_else_is_pinned(self):
        assert get_pool().get_stats()["connections_pinned"] <= len(self.requests)

    def teardown(self):
        for request in self.requests:
            self.loop.do(request.end())
        stats = get_pool().get_stats()
        self.loop.close()
        assert (stats["connections_pinned"], stats["pool_available"]) == (0, stats["pool_size"])


@pytest.mark.timeout(240)
def test_owners_see_their_own_state_only(many_connections, pool_with):
    pool_with(MAX_SIZE=OWNERS + 2)

    run_state_machine_as_test(Owners, settings=PROFILE)
