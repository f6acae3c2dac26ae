"""Publishing and subscribing, alike with every backend: after the commit, to all subscribers, at no cost while idle."""

import asyncio
import threading
import uuid
from decimal import Decimal

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.db import transaction as django_transaction

from daf_orm import database_sync_to_async, get_pool, transaction
from daf_views.asgi import current_drain
from daf_views.exceptions import BroadcastUnavailableError, MessageTooLargeError, SlowSubscriberError
from daf_views.streaming import Channel, sse
from daf_views.streaming.broadcast import hub as hub_module
from daf_views.streaming.broadcast.backends import get_backend

pytestmark = pytest.mark.usefixtures("backend")
stock = Channel("stock")


def tasks():
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("daf-broadcast")}


async def test_every_subscriber_of_the_channel_receives_each_message_in_order():
    async with stock.subscribe() as first, stock.subscribe() as second, Channel("orders").subscribe() as other:
        for number in range(3):
            await stock.apublish({"book": number})
        await Channel("orders").apublish("order")

        for messages in (first, second):
            assert [await anext(messages) for _ in range(3)] == [{"book": 0}, {"book": 1}, {"book": 2}]
        assert await anext(other) == "order"
        assert len(first) == len(other) == 0


async def test_values_without_a_type_of_json_arrive_alike_with_every_backend():
    number = uuid.uuid4()
    async with stock.subscribe() as messages:
        await stock.apublish([number, Decimal("1.50"), "ä€\0", None])
        assert await anext(messages) == [str(number), "1.50", "ä€\0", None]


async def test_nothing_was_received_before_the_block_nor_after_it():
    await stock.apublish("before")
    async with stock.subscribe() as messages:
        await stock.apublish("within")
        assert await anext(messages) == "within"
    await stock.apublish("after")
    assert len(messages) == 0


@pytest.mark.parametrize("message", [b"bytes", object(), float("nan")])
async def test_a_message_that_is_not_json_is_refused_where_it_is_published(message):
    with pytest.raises((TypeError, ValueError)):
        await stock.apublish(message)


async def test_a_message_that_is_too_large_is_refused_and_the_largest_arrives():
    backend = get_backend()
    room = backend.max_bytes - backend.size_of("stock", '""')
    async with stock.subscribe() as messages:
        await stock.apublish("x" * room)
        with pytest.raises(MessageTooLargeError, match=f"carries {backend.max_bytes:,} at most"):
            await stock.apublish("x" * (room + 1))
        assert await anext(messages) == "x" * room


# Transactions


async def test_a_message_of_a_block_is_sent_when_it_commits():
    async with stock.subscribe() as messages:
        async with transaction.atomic():
            await stock.apublish("committed")
            async with transaction.atomic():
                await stock.apublish("in a savepoint")
            await sync_to_async(lambda: None)()  # long enough for what would have been sent
            assert len(messages) == 0
        assert [await anext(messages), await anext(messages)] == ["committed", "in a savepoint"]


async def test_a_message_of_a_block_that_rolls_back_is_never_sent():
    async with stock.subscribe() as messages:
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                await stock.apublish("rolled back")
                raise ZeroDivisionError
        async with transaction.atomic():
            with pytest.raises(ZeroDivisionError):
                async with transaction.atomic():
                    await stock.apublish("rolled back to a savepoint")
                    raise ZeroDivisionError
            await stock.apublish("committed")
        assert await anext(messages) == "committed"


async def test_synchronous_code_publishes_when_it_commits():
    def sell():
        with django_transaction.atomic():
            stock.publish("committed")
        with pytest.raises(ZeroDivisionError), django_transaction.atomic():
            stock.publish("rolled back")
            raise ZeroDivisionError
        stock.publish("outside")

    async with stock.subscribe() as messages:
        await database_sync_to_async(sell)()
        assert [await anext(messages), await anext(messages)] == ["committed", "outside"]


async def test_a_thread_of_an_atomic_block_publishes_with_it():
    async with stock.subscribe() as messages:
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                await database_sync_to_async(stock.publish)("rolled back")
                raise ZeroDivisionError
        async with transaction.atomic():
            await database_sync_to_async(stock.publish)("committed")
        assert await anext(messages) == "committed"


@pytest.mark.parametrize("hop", [database_sync_to_async, sync_to_async])
async def test_apublish_waits_for_the_commit_of_synchronous_code_that_calls_it(hop):
    def sell():
        with pytest.raises(ZeroDivisionError), django_transaction.atomic():
            async_to_sync(stock.apublish)("rolled back")
            raise ZeroDivisionError
        with django_transaction.atomic():
            async_to_sync(stock.apublish)("committed")
        async_to_sync(stock.apublish)("outside")

    async with stock.subscribe() as messages:
        await hop(sell)()
        assert [await anext(messages), await anext(messages)] == ["committed", "outside"]


async def test_a_failure_of_publish_is_raised_outside_a_transaction_and_logged_after_a_commit(monkeypatch, caplog):
    def fail(channel, message):
        raise BroadcastUnavailableError("It is not there.")

    def sell():
        with django_transaction.atomic():
            stock.publish("within")

    if get_backend().commits_with("default"):
        pytest.skip("a statement of the transaction")
    monkeypatch.setattr(get_backend(), "send", fail)
    with pytest.raises(BroadcastUnavailableError):
        await database_sync_to_async(stock.publish)("outside")
    await database_sync_to_async(sell)()
    assert "It is not there." in caplog.text


async def test_publish_refuses_to_block_an_event_loop():
    with pytest.raises(SynchronousOnlyOperation, match=r"await channel\.apublish"):
        stock.publish("message")


# The cost of waiting, and its end


async def test_idle_subscribers_hold_no_connection_of_the_pool_no_thread_and_no_task_each():
    in_use = get_pool().get_stats()["pool_size"] - get_pool().get_stats()["pool_available"]
    threads = set(threading.enumerate())
    subscribed = []
    for _ in range(100):
        subscribed.append(stock.subscribe())
        await subscribed[-1].__aenter__()
    try:
        stats = get_pool().get_stats()
        assert stats["pool_size"] - stats["pool_available"] == in_use
        assert set(threading.enumerate()) <= threads
        assert tasks() == {"daf-broadcast", "daf-broadcast-drain"}
        assert len(asyncio.all_tasks()) == 3
    finally:
        for each in subscribed:
            await each.__aexit__(None, None, None)
    assert tasks() == set()


@pytest.mark.postgresql
async def test_all_subscribers_of_a_process_share_one_session(kind, sessions):
    if kind == "postgresql":
        async with stock.subscribe(), stock.subscribe(), Channel("orders").subscribe():
            assert len(sessions.open()) == 1
        await asyncio.to_thread(sessions.wait_until_closed)


async def test_the_last_of_many_that_come_and_go_at_once_closes_the_connection():
    async def subscriber(number):
        async with stock.subscribe() as messages:
            await stock.apublish(number)
            async for message in messages:
                if message == number:
                    return

    for _ in range(5):
        await asyncio.gather(*map(subscriber, range(10)))
        assert tasks() == set()


async def test_a_subscriber_that_is_cancelled_leaves_nothing_behind():
    async def subscriber():
        async with stock.subscribe() as messages:
            await anext(messages)

    for steps in range(12):  # while it connects, and while it waits
        task = asyncio.create_task(subscriber())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tasks() == set()
        assert not hub_module.current_hub()._subscriptions


async def test_a_slow_subscriber_costs_the_others_nothing():
    narrow = Channel("stock", capacity=2)
    async with stock.subscribe() as quick, narrow.subscribe() as slow:
        for number in range(5):
            await stock.apublish(number)
        assert [await anext(quick) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert [await anext(slow), await anext(slow)] == [0, 1]
        with pytest.raises(SlowSubscriberError):
            await anext(slow)


async def test_subscriptions_end_when_the_server_drains():
    async with stock.subscribe() as messages:
        await stock.apublish("last")
        assert await anext(messages) == "last"
        waiting = asyncio.create_task(anext(messages, "the end"))
        current_drain().request()
        assert await waiting == "the end"
        async with stock.subscribe() as late:
            assert [message async for message in late] == []
    assert tasks() == set()


async def test_it_feeds_an_event_stream():
    async def events():
        async with stock.subscribe() as messages:
            async for message in messages:
                yield message

    frames = aiter(sse(events(), retry=100))
    assert await anext(frames) == b"retry: 100\n\n"
    frame = asyncio.create_task(anext(frames))
    while "daf-broadcast" not in tasks() or not hub_module.current_hub()._subscriptions:
        await asyncio.sleep(0.001)
    await stock.apublish({"book": 7})
    assert await frame == b'data: {"book":7}\n\n'
    await frames.aclose()
    assert tasks() == set()


def test_event_loops_of_one_process_have_their_own_connection(backend):
    async def on_a_loop(number):
        async with stock.subscribe() as messages:
            await stock.apublish(number)
            received = await anext(messages)
        await backend.aclose()
        return received

    assert [asyncio.run(on_a_loop(number)) for number in range(3)] == [0, 1, 2]


async def test_a_loop_of_another_thread_receives_what_this_one_sends(backend):
    subscribed, received = threading.Event(), []

    async def listen():
        async with stock.subscribe() as messages:
            subscribed.set()
            received.append(await anext(messages))

    thread = asyncio.create_task(asyncio.to_thread(asyncio.run, listen()))
    await asyncio.to_thread(subscribed.wait)
    await stock.apublish("to the other")
    await thread
    assert received == ["to the other"]


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "a b"}, {"name": "a" * 101}, {"capacity": 0}, {"overflow": "x"}]
)
@pytest.mark.no_database
def test_a_wrong_channel_is_refused_where_it_is_made(wrong):
    with pytest.raises(ValueError, match=r"channel|capacity|overflow"):
        Channel(**{"name": "stock", **wrong})
