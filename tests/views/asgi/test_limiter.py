import asyncio

import pytest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from daf_views import AsyncAPIView
from daf_views.asgi import get_asgi_application
from daf_views.asgi.limiter import InFlightLimiter
from daf_views.asgi.receiver import Receiver
from daf_views.exceptions import ServiceUnavailableError
from daf_views.health import livez, readyz
from daf_views.settings import Settings
from tests.support.connection import Connection
from tests.support.exchange import exchange

go_on: asyncio.Event
entered: list[object]


@pytest.fixture(autouse=True)
async def closed_gate():
    global go_on, entered
    go_on, entered = asyncio.Event(), []


async def wait(request):
    entered.append(request)
    await go_on.wait()
    return HttpResponse("done")


urlpatterns = [path("wait", wait), path("livez", livez), path("readyz", readyz)]


@pytest.fixture
def application():
    with override_settings(DAF_VIEWS={"MAX_IN_FLIGHT": 1, "MAX_WAITING": 1, "RETRY_AFTER": 7}):
        yield get_asgi_application()


async def request_under_way(application):
    connection = Connection(application, path="/wait")
    connection.send()
    while not entered:
        await asyncio.sleep(0)
    return connection


async def waiting_request(application):
    connection = Connection(application, path="/wait")
    connection.send()
    for _ in range(5):
        await asyncio.sleep(0)
    return connection


async def test_a_request_waits_for_a_place_and_then_gets_it(application):
    first = await request_under_way(application)
    second = await waiting_request(application)
    assert len(entered) == 1
    go_on.set()
    await asyncio.gather(first.task, second.task)
    assert [first.answer.status, second.answer.status] == [200, 200]


async def test_one_more_than_may_wait_is_told_when_to_come_back(application):
    first, second = await request_under_way(application), await waiting_request(application)
    answer = await exchange(application, path="/wait")
    assert (answer.status, answer.header("retry-after")) == (503, "7")
    assert answer.header("content-type") == "application/problem+json"
    go_on.set()
    await asyncio.gather(first.task, second.task)


async def test_a_request_whose_wait_timed_out_is_told_when_to_retry():
    with override_settings(DAF_VIEWS={"MAX_IN_FLIGHT": 1, "WAIT_TIMEOUT": 0.01}):
        application = get_asgi_application()
        first = await request_under_way(application)
        assert (await exchange(application, path="/wait")).status == 503
        go_on.set()
        await first.task


async def test_health_is_told_even_when_every_place_is_taken(application):
    first, second = await request_under_way(application), await waiting_request(application)
    assert (await exchange(application, path="/livez")).status == 200
    assert (await exchange(application, path="/readyz")).status == 200
    go_on.set()
    await asyncio.gather(first.task, second.task)


async def test_a_cancelled_waiter_leaves_its_place_in_line(application):
    first, second = await request_under_way(application), await waiting_request(application)
    second.task.cancel()
    await asyncio.wait([second.task])
    third = await waiting_request(application)
    go_on.set()
    await asyncio.gather(first.task, third.task)
    assert third.answer.status == 200


async def test_a_drain_waits_for_the_last_request(application):
    first = await request_under_way(application)
    drained = asyncio.create_task(application.in_flight().drain(30))
    await asyncio.sleep(0)
    assert not drained.done()
    go_on.set()
    assert await drained == 0
    assert first.answer.status == 200


async def test_a_drain_cancels_what_is_late(application):
    first = await request_under_way(application)
    assert await application.in_flight().drain(0.01) == 1
    await asyncio.wait([first.task])
    assert first.answer.status == 503
    assert len(application.in_flight()) == 0


async def test_no_request_is_let_in_after_a_drain_that_was_too_long(application):
    first, second = await request_under_way(application), await waiting_request(application)
    assert await application.in_flight().drain(0.01) == 1
    await asyncio.wait([first.task, second.task])
    assert second.answer.status == 503
    assert (await exchange(application, path="/wait")).status == 503


async def test_each_event_loop_has_its_own_places(application):
    mine = application.in_flight()

    async def look():
        return application.in_flight()

    other = await asyncio.to_thread(asyncio.run, look())
    assert other is not mine
    assert application.in_flight() is mine


async def test_a_request_that_is_refused_is_logged(application, caplog):
    first, second = await request_under_way(application), await waiting_request(application)
    await exchange(application, path="/wait")
    assert "GET '/wait' was refused" in caplog.text
    go_on.set()
    await asyncio.gather(first.task, second.task)


class Places(RuleBasedStateMachine):
    """Requests come, are answered and are cancelled, in any order; against a count of places and a line."""

    LIMIT, WAITING = 2, 3

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.requests: list[tuple[asyncio.Task, asyncio.Event]] = []
        self.refused = 0
        self.in_flight = self.run(self._make())

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    async def _make(self):
        return InFlightLimiter(Settings(MAX_IN_FLIGHT=self.LIMIT, MAX_WAITING=self.WAITING, WAIT_TIMEOUT=60.0))

    async def _answer(self, end):
        receiver = Receiver(asyncio.Event().wait)
        slots = await self.in_flight.enter(receiver)
        try:
            await end.wait()
        finally:
            self.in_flight.leave(receiver, slots)

    async def _settle(self):
        for _ in range(10):
            await asyncio.sleep(0)
        for task, end in [*self.requests]:
            if task.done():
                self.requests.remove((task, end))
                if not task.cancelled() and task.exception() is not None:
                    assert isinstance(task.exception(), ServiceUnavailableError)
                    self.refused += 1

    @rule()
    def come(self):
        async def start():
            expected = len(self.requests) >= self.LIMIT + self.WAITING
            before, end = self.refused, asyncio.Event()
            self.requests.append((asyncio.create_task(self._answer(end)), end))
            await self._settle()
            assert (self.refused > before) == expected

        self.run(start())

    @precondition(lambda self: self.requests)
    @rule(index=st.integers(0, 9), cancelled=st.booleans())
    def go(self, index, cancelled):
        async def end():
            task, event = self.requests[index % len(self.requests)]
            task.cancel() if cancelled else event.set()
            await self._settle()

        self.run(end())

    @invariant()
    def places_are_used_and_never_exceeded(self):
        free_to_end = sum(event.is_set() for _, event in self.requests)
        assert len(self.in_flight) == min(self.LIMIT, len(self.requests))
        assert free_to_end <= len(self.requests)

    def teardown(self):
        async def end_all():
            for task, _ in self.requests:
                task.cancel()
            await self._settle()

        self.run(end_all())
        assert len(self.in_flight) == 0
        self.loop.close()


TestPlaces = Places.TestCase
TestPlaces.settings = hypothesis_settings(max_examples=50, stateful_step_count=30, deadline=None)


# Bodies that do not come


class Takes(AsyncAPIView):
    enforces_csrf = False
    services = {"db": lambda: entered.append("service")}  # noqa: RUF012 - replaced, never changed

    async def post(self, request):
        return self.success(len(request.data))


urlpatterns.append(path("take", Takes.as_view()))
urlpatterns.append(path("at-once", lambda _: HttpResponse("done")))


def slow_body(application):
    connection = Connection(application, path="/take", method="POST", headers=[("content-type", "application/json")])
    connection.send(b"[", more=True)
    return connection


async def test_a_slow_body_holds_no_slot_and_no_services(application):
    slow = slow_body(application)
    assert (await exchange(application, path="/at-once")).status == 200
    assert entered == []
    slow.send(b"1]")
    await slow.task
    assert (slow.answer.status, slow.answer.body) == (200, b"1")
    assert entered == ["service"]
    assert len(application.in_flight()) == 0


async def test_a_body_that_has_come_waits_for_a_slot_again(application):
    slow = slow_body(application)
    under_way = await request_under_way(application)
    slow.send(b"1]")
    for _ in range(20):
        await asyncio.sleep(0)
    assert not slow.task.done()
    go_on.set()
    await slow.task
    await under_way.task
    assert slow.answer.status == 200


async def test_too_many_slow_bodies_are_answered_503(application):
    first = slow_body(application)
    await exchange(application, path="/at-once")  # the first has given its slot back
    second = slow_body(application)
    await second.task
    assert second.answer.status == 503
    assert (await exchange(application, path="/at-once")).status == 200
    first.hang_up()
    await first.task
    assert (await exchange(application, path="/at-once")).status == 200
    slow = slow_body(application)
    slow.send(b"1]")
    await slow.task
    assert slow.answer.status == 200


async def test_a_slow_body_that_is_given_up_leaves_all_slots(application):
    with override_settings(DAF_VIEWS={"MAX_IN_FLIGHT": 1, "MAX_WAITING": 1, "BODY_TIMEOUT": 0.1}):
        slow = slow_body(application)
        await slow.task
        assert slow.answer.status == 408
        assert (await exchange(application, path="/at-once")).status == 200
