"""Messages that wait for one subscriber: bounded, in order, with a gap where some are missing."""

import asyncio
import json

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from daf_views.exceptions import SlowSubscriberError
from daf_views.streaming import Gap, Subscription

pytestmark = pytest.mark.sqlite_memory


def subscription(capacity=2, overflow="disconnect"):
    return Subscription("test", capacity=capacity, overflow=overflow)


def offer(messages, *numbers):
    for number in numbers:
        messages.offer(json.dumps(number))


async def test_messages_are_decoded_for_each_reader_separately():
    first, second = subscription(), subscription()
    for messages in (first, second):
        messages.offer('{"books": [1]}')

    one, two = await anext(first), await anext(second)

    assert one == two == {"books": [1]}
    assert one["books"] is not two["books"]


async def test_a_reader_waits_for_the_next_message():
    messages = subscription()
    waiting = asyncio.create_task(anext(messages))
    await asyncio.sleep(0)
    offer(messages, 1)
    assert await waiting == 1


async def test_a_cancelled_wait_loses_nothing():
    messages = subscription()
    waiting = asyncio.create_task(anext(messages))
    await asyncio.sleep(0)
    offer(messages, 1)
    waiting.cancel()  # at the moment when the message arrives
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await anext(messages) == 1


async def test_a_slow_subscriber_gets_the_waiting_messages_and_then_always_an_error():
    messages = subscription()
    offer(messages, 1, 2, 3)

    assert [await anext(messages), await anext(messages)] == [1, 2]
    offer(messages, 4)  # after a gap
    for _ in range(2):
        with pytest.raises(SlowSubscriberError, match="more than 2 messages behind"):
            await anext(messages)


async def test_a_slow_subscriber_that_drops_the_oldest_gets_a_gap_in_their_place():
    messages = subscription(overflow="drop_oldest")
    offer(messages, 1, 2, 3, 4)
    assert [await anext(messages) for _ in range(3)] == [Gap(lost=2), 3, 4]


async def test_a_gap_stands_between_the_messages_before_and_after_it():
    messages = subscription(capacity=3)
    offer(messages, 1)
    messages.mark_gap()
    messages.mark_gap()
    offer(messages, 2)
    assert [await anext(messages) for _ in range(3)] == [1, Gap(lost=None), 2]


async def test_it_ends_after_what_waits():
    messages = subscription()
    offer(messages, 1)
    messages.end()
    offer(messages, 2)
    assert [message async for message in messages] == [1]


class Reading(RuleBasedStateMachine):
    """Numbers are offered in order, and connections lost, at any time; the reader reads at any time."""

    @initialize(capacity=st.integers(1, 4), overflow=st.sampled_from(["disconnect", "drop_oldest"]))
    def subscribe(self, capacity, overflow):
        self.capacity = capacity
        self.messages = subscription(capacity, overflow)
        self.drops = overflow == "drop_oldest"
        self.sent = 0
        self.is_slow = False
        self.last = -1
        """The number received last."""
        self.gap = None
        """The one received since."""

    @rule(number=st.integers(1, 6))
    def offer(self, number):
        for _ in range(number):
            offer(self.messages, self.sent)
            self.sent += 1

    @rule(number=st.integers(1, 6))
    def lose(self, number):
        """Messages sent while the connection is lost never arrive, and then there is a gap."""
        self.sent += number
        self.messages.mark_gap()

    @rule(number=st.integers(1, 6))
    def read(self, number):
        for _ in range(number):
            if not (len(self.messages) or self.messages._dropped):
                return
            self._receive(_next_without_waiting(self.messages))

    def _receive(self, item):
        if isinstance(item, Gap):
            self.gap = item if self.gap is None else self.gap + item
            return
        missing = item - self.last - 1
        assert missing == 0 if self.gap is None else self.gap.lost in {missing, None}
        assert self.drops or self.gap is None or self.gap.lost is None
        self.last, self.gap = item, None

    @invariant()
    def it_is_bounded(self):
        assert len(self.messages) <= self.capacity

    def teardown(self):
        if not hasattr(self, "messages"):
            return
        self.messages.end()
        try:
            while True:
                self._receive(_next_without_waiting(self.messages))
        except SlowSubscriberError:
            assert not self.drops
        except StopAsyncIteration:
            assert self.last == self.sent - 1 or self.gap is not None


def _next_without_waiting(messages):
    with pytest.raises(StopIteration) as done:
        messages.__anext__().send(None)
    return done.value.value


TestReading = Reading.TestCase
