"""The same request twice at the same time, and one that is cut off: one effect, or none and a free key."""

import asyncio

import pytest
from django.db import connection
from psycopg import IsolationLevel

from daf_orm import database_sync_to_async, transaction
from daf_orm._pool.process_pool import reset_pool
from daf_views.idempotency import IdempotencyKey
from daf_views.idempotency.models import IdempotencyRecord
from daf_views.idempotency.stores.database import DatabaseStore
from tests.views.idempotency.shop import KEY, Gate, code_of, count, create, send, view

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture(params=[True, False], ids=["atomic", "not atomic"])
def atomic(request):
    if request.param:
        request.getfixturevalue("several_connections")
    return request.param


@pytest.fixture
def gated(store, atomic, gate):
    """A view that has had its effect, and waits."""

    async def post(self, request):
        row = await create("order")
        await gate.passed()
        return self.success({"id": row}, status=201)

    return view(post, key=IdempotencyKey(store=store), atomic=atomic)


async def in_flight():
    return await IdempotencyRecord.objects.filter(status=None).acount()


async def test_a_second_request_is_told_to_retry_and_then_gets_the_response(gated, gate):
    first = asyncio.create_task(send(gated))
    await gate.entered.wait()
    second = await asyncio.wait_for(send(gated), 10)
    assert (second.status_code, code_of(second)) == (409, "idempotency_key_in_flight")
    assert second.headers["Retry-After"] == "1"
    other = await asyncio.wait_for(send(gated, b"{}"), 10)
    assert other.status_code == 422
    gate.opened.set()
    assert (await first).content == (await send(gated)).content
    assert await count() == 1


async def test_many_at_once_have_one_effect(store, several_connections):
    orders = view(key=IdempotencyKey(store=store), atomic=True)
    answers = await asyncio.gather(*(send(orders) for _ in range(20)))
    final = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in final}) == 1
    assert await count() == 1


@pytest.mark.postgresql
@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
async def test_in_strict_transactions_too(monkeypatch, level):
    """If the database refuses a transaction because of another, its request is answered 5xx, and sent again."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", level)
    reset_pool()
    orders = view(atomic=True)
    answers = await asyncio.gather(*(send(orders) for _ in range(20)))
    while (answer := await send(orders)).status_code != 201:
        answers.append(answer)
    assert {answer.status_code for answer in answers} <= {201, 409, 500, 503}
    assert await count() == 1
    reset_pool()


async def test_a_small_pool_is_not_exhausted_by_second_requests(settings, gate, several_connections):
    settings.DAF_ORM = {"MAX_SIZE": 2, "TIMEOUT": 10.0}
    reset_pool()

    async def post(self, request):
        row = await create("order")
        await gate.passed()
        return self.success({"id": row}, status=201)

    orders = view(post, atomic=True)
    first = asyncio.create_task(send(orders))
    await gate.entered.wait()
    others = await asyncio.gather(*(send(orders) for _ in range(20)))
    assert {other.status_code for other in others} == {409}
    gate.opened.set()
    assert (await first).status_code == 201
    reset_pool()


# Cut off


async def cut_off(task, times=1):
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.parametrize("times", [1, 3])
async def test_cut_off_in_its_transaction_it_has_no_effect_and_the_key_is_free(gate, several_connections, times):
    async def post(self, request):
        row = await create("order")
        await gate.passed()
        return self.success({"id": row}, status=201)

    orders = view(post, atomic=True)
    task = asyncio.create_task(send(orders))
    await gate.entered.wait()
    await cut_off(task, times)
    gate.opened.set()
    assert (await count(), await IdempotencyRecord.objects.acount()) == (0, 0)
    retry = await send(orders)
    assert (retry.status_code, "Idempotency-Replayed" in retry.headers) == (201, False)
    assert await count() == 1


async def test_cut_off_without_one_the_key_is_taken_until_the_lease_ends(gate, clock):
    async def post(self, request):
        row = await create("order")
        await gate.passed()
        return self.success({"id": row}, status=201)

    orders = view(post, key=IdempotencyKey(store=DatabaseStore(clock=clock)))
    task = asyncio.create_task(send(orders))
    await gate.entered.wait()
    await cut_off(task)
    gate.opened.set()
    assert (await send(orders)).status_code == 409
    clock.advance(11)
    assert (await send(orders)).status_code == 201


class Stepwise:
    """Cancels a task after so many turns of the event loop, however it spends them."""

    def __init__(self, turns):
        self.turns = turns

    async def run(self, work):
        task = asyncio.create_task(work)
        for _ in range(self.turns):
            if task.done():
                break
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task


async def test_cut_off_anywhere_there_is_an_effect_and_an_answer_or_neither():
    """At the turns of the event loop; work that takes longer, such as a thread's, at random."""
    orders, ends = view(atomic=True), set()
    for turn in range(60):
        key = f"{KEY}{turn}"
        before = await count()
        task = await Stepwise(turn * 3).run(send(orders, key=key))
        had_effect = await count() - before
        answered = await IdempotencyRecord.objects.filter(status=201).acount()
        assert await in_flight() == 0
        assert answered == await count()
        ends.add((task.cancelled(), had_effect))
        assert (await send(orders, key=key)).status_code == 201
        assert await count() == before + 1
    assert (True, 0) in ends


@pytest.mark.parametrize("seconds", [0.001 * number for number in range(0, 24, 2)])
async def test_cut_off_at_any_time_too(seconds):
    orders = view(atomic=True)
    task = asyncio.create_task(send(orders))
    await asyncio.wait([task], timeout=seconds)
    task.cancel()
    await asyncio.wait([task])
    assert await in_flight() == 0
    assert await IdempotencyRecord.objects.acount() == await count()
    assert (await send(orders)).status_code == 201
    assert await count() == 1


async def test_cut_off_after_the_handler_the_answer_is_kept(make_store):
    """Without a transaction: a request that has had an effect is answered, also if its client has gone."""
    store = make_store("database")
    finishing, finish = asyncio.Event(), store.finish

    async def slow_finish(claim, answer):
        finishing.set()
        await asyncio.sleep(0)
        return await finish(claim, answer)

    store.finish = slow_finish
    orders = view(key=IdempotencyKey(store=store))
    task = asyncio.create_task(send(orders))
    await finishing.wait()
    await cut_off(task, 3)
    assert (await send(orders)).headers["Idempotency-Replayed"] == "true"
    assert await count() == 1


def test_a_loop_that_is_closed_leaves_no_effect_without_an_answer(several_connections):
    orders = view(atomic=True)
    gate = []

    async def post(self, request):
        row = await create("order")
        gate.append(row)
        await asyncio.Event().wait()

    stuck = type(f"{orders.__name__}Stuck", (orders,), {"post": post})

    async def leave():
        task = asyncio.create_task(send(stuck))
        while not gate:
            await asyncio.sleep(0)
        del task

    asyncio.run(leave())
    assert asyncio.run(count()) == 0
    assert IdempotencyRecord.objects.count() == 0


# Leases


@pytest.mark.parametrize(("kind", "lease"), [("database", 0.3), ("cache", 1.2)])
async def test_a_lease_is_renewed_for_as_long_as_the_handler_runs(gate, make_store, clock, kind, lease):
    """The clock of a database is the test's, and goes on before each renewal; a cache has its own, in whole seconds."""
    store, renewals = make_store(kind, clock=clock), 0
    renew = store.renew

    async def renew_later(claim):
        nonlocal renewals
        clock.advance(lease * 2 / 3)
        renewals += 1
        return await renew(claim)

    async def post(self, request):
        gate.entered.set()
        while renewals < 6:  # several leases
            await asyncio.sleep(lease / 10)
        return self.success({"id": await create("order")}, status=201)

    store.renew = renew_later

    orders = view(post, key=IdempotencyKey(store=store, lease=lease))
    first = asyncio.create_task(send(orders))
    await gate.entered.wait()
    seen = set()
    while not first.done():
        seen.add((await send(orders)).status_code)
        await asyncio.sleep(lease / 10)
    assert seen <= {409, 201}
    assert 409 in seen
    assert await count() == 1


async def test_a_request_that_lost_the_key_before_its_transaction_does_nothing(clock, several_connections):
    """It has waited for a connection for longer than its lease: another one has the key, and the effect."""
    store = DatabaseStore(clock=clock)
    claim, waiting, go_on = store.claim, asyncio.Event(), asyncio.Event()

    async def held_up(wanted):
        record = await claim(wanted)
        if not waiting.is_set():
            waiting.set()
            await go_on.wait()
        return record

    calls = []

    async def post(self, request):
        calls.append(self)
        return self.success({"id": await create("order")}, status=201)

    store.claim = held_up
    orders = view(post, key=IdempotencyKey(store=store), atomic=True)
    first = asyncio.create_task(send(orders))
    await waiting.wait()
    clock.advance(11)
    second = await send(orders)
    go_on.set()
    assert (second.status_code, (await first).status_code) == (201, 409)
    assert (len(calls), await count()) == (1, 1)


@pytest.mark.postgresql
async def test_a_request_in_its_transaction_keeps_the_key_for_any_time(clock, gate):
    calls = []

    async def post(self, request):
        calls.append(self)
        await gate.passed()
        return self.success({"id": await create("order")}, status=201)

    orders = view(post, key=IdempotencyKey(store=DatabaseStore(clock=clock)), atomic=True)
    first = asyncio.create_task(send(orders))
    await gate.entered.wait()
    clock.advance(1000)
    assert (await asyncio.wait_for(send(orders), 10)).status_code == 409
    gate.opened.set()
    assert (await first).content == (await send(orders)).content
    assert len(calls) == 1


async def test_a_lost_key_without_a_transaction_is_logged(clock, gate, caplog):
    async def post(self, request):
        row = await create("order")
        if not gate.entered.is_set():
            await gate.passed()
        return self.success({"id": row}, status=201)

    orders = view(post, key=IdempotencyKey(store=DatabaseStore(clock=clock)))
    first = asyncio.create_task(send(orders))
    await gate.entered.wait()
    clock.advance(11)
    second = await send(orders)
    gate.opened.set()
    assert ((await first).status_code, second.status_code) == (201, 201)
    assert "a second request may have been carried out too" in caplog.text
    assert KEY not in caplog.text


async def test_the_answer_is_committed_with_the_effect_and_after_it_in_another_database():
    """In the handler's transaction no other sees either; on another database, the response follows the commit."""
    seen = []

    async def post(self, request):
        transaction.on_commit(lambda: seen.append(connection.vendor), using="other")
        return self.success(status=201)

    orders = view(post, atomic="other")
    assert (await send(orders)).status_code == 201
    assert len(seen) == 1
    assert (await send(orders)).headers["Idempotency-Replayed"] == "true"
    assert await database_sync_to_async(IdempotencyRecord.objects.filter(status=201).count)() == 1
