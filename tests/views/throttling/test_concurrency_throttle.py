"""So many at a time: a place is taken when a request comes, and free when it has gone, whichever way it went."""

import asyncio
import gc
import weakref
from contextlib import nullcontext

import django
import pytest
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory
from django.urls import path

from daf_views import AsyncAPIView
from daf_views.asgi import current_drain, get_asgi_application
from daf_views.exceptions import ServiceUnavailableError, ThrottledError
from daf_views.throttling import AsyncConcurrencyThrottle, AsyncRateThrottle, concurrency_throttle
from daf_views.throttling.backends.memory import MemoryBackend
from daf_views.throttling.operations import Enter
from tests.support.connection import Connection
from tests.support.exchange import exchange
from tests.views.throttling.conftest import BACKENDS

entered: asyncio.Queue
go_on: asyncio.Event
backend = MemoryBackend()
two = AsyncConcurrencyThrottle(2, scope="two", backend=backend)


async def _wait():
    entered.put_nowait(None)
    await go_on.wait()


async def at_once(request):
    return HttpResponse("hello")


def stream_at_once(request):
    return StreamingHttpResponse([b"first", b"last"])


class Slow(AsyncAPIView):
    throttle = two

    async def get(self, request):
        await _wait()
        return self.success("done")


@two
async def stream(request):
    async def parts():
        yield b"first"
        await _wait()
        yield b"last"

    return StreamingHttpResponse(parts())


@two
async def broken(request):
    await _wait()
    raise LookupError


@AsyncRateThrottle("1/day", scope="rare", backend=MemoryBackend())
@two
async def rare(request):
    return HttpResponse("hello")


urlpatterns = [
    path("slow", Slow.as_view()),
    path("stream", stream),
    path("broken", broken),
    path("rare", rare),
    path("wsgi/slow", two(at_once)),
    path("wsgi/stream", two(sync_to_async(stream_at_once))),
]


@pytest.fixture(autouse=True)
async def at_rest(settings):
    global entered, go_on
    entered, go_on = asyncio.Queue(), asyncio.Event()
    settings.MIDDLEWARE = []
    yield
    await nobody_is_left()


async def nobody_is_left():
    async with asyncio.timeout(10):
        while len(backend):
            await current_drain().settle(1)
    assert len(backend) == 0


@pytest.fixture(params=[get_asgi_application, ASGIHandler], ids=["ours", "djangos"])
def application(request):
    return request.param()


def request_to(application, target):
    connection = Connection(application, path=target)
    connection.send()
    return connection


@pytest.mark.parametrize("target", ["/slow", "/stream", "/broken"])
async def test_a_place_is_free_when_its_request_has_been_answered(application, target):
    first, second = request_to(application, target), request_to(application, target)
    for _ in range(2):
        await entered.get()
    refused = await exchange(application, path=target)
    assert (refused.status, refused.header("retry-after")) == (429, "1")
    assert refused.header("ratelimit") == '"two";r=0'
    go_on.set()
    await asyncio.wait([first.task, second.task])
    await nobody_is_left()
    assert (await exchange(application, path="/slow")).status == 200


async def test_an_allowed_response_has_the_remaining_number(application):
    go_on.set()
    answer = await exchange(application, path="/slow")
    assert answer.header("ratelimit-policy") == '"two";q=2;qu="concurrent-requests"'
    assert answer.header("ratelimit") == '"two";r=1'


@pytest.mark.parametrize("target", ["/slow", "/stream"])
async def test_a_client_that_hangs_up_leaves_its_place(application, target):
    connection = request_to(application, target)
    await entered.get()
    connection.hang_up()
    await asyncio.wait([connection.task])
    await nobody_is_left()


@pytest.mark.parametrize("times", [1, 2])
async def test_a_request_that_is_cancelled_leaves_its_place(times):
    connection = request_to(get_asgi_application(), "/slow")
    await entered.get()
    for _ in range(times):
        connection.task.cancel()
    await asyncio.wait([connection.task])
    await nobody_is_left()


@pytest.mark.parametrize("target", ["/slow", "/stream"])
def test_under_wsgi_a_place_is_free_when_its_request_has_been_closed(target, client):
    for _ in range(5):
        response = client.get("/wsgi" + target)
        assert response.status_code == 200
        b"".join(response)  # at whose end the test client closes it
    assert len(backend) == 0


@pytest.mark.skipif(django.VERSION >= (6,), reason="Django 5.2 lets the view go on")
async def test_a_view_that_outlives_its_request_gives_its_place_back_when_it_is_not_held_on_to(monkeypatch):
    monkeypatch.setattr(concurrency_throttle, "HOLD", 0.03)
    both = [request_to(ASGIHandler(), "/slow") for _ in range(2)]
    for connection in both:
        await entered.get()
        connection.task.cancel()
    await asyncio.wait([connection.task for connection in both])
    go_on.set()
    async with asyncio.timeout(10):
        while (await exchange(ASGIHandler(), path="/slow")).status != 200:
            await asyncio.sleep(0.01)
    backend.__init__()  # expired entries are swept later


@pytest.mark.parametrize("opens", [True, False])
async def test_a_place_that_was_taken_too_late_is_given_back(opens):
    class Late(MemoryBackend):
        async def run(self, key, operation, *, timeout):  # noqa: ASYNC109 - a backend's
            result = await super().run(key, operation, timeout=timeout)
            if isinstance(operation, Enter):
                raise TimeoutError
            return result

    made, request = Late(), AsyncRequestFactory().get("/")
    with nullcontext() if opens else pytest.raises(ServiceUnavailableError):
        await AsyncConcurrencyThrottle(1, scope="late", backend=made, fail_open=opens).check(request)
    assert len(made) == 1
    request.close()
    await current_drain().settle(5)
    assert len(made) == 0


async def test_one_task_with_many_requests_remembers_none_of_them():
    throttle, kept = AsyncConcurrencyThrottle(1, scope="many", backend=MemoryBackend()), []
    for _ in range(5):
        request = AsyncRequestFactory().get("/")
        await throttle.check(request)
        kept.append(weakref.ref(request))
        request.close()
        await current_drain().settle(5)
    del request
    gc.collect()
    assert [each() for each in kept] == [None] * 5


async def test_when_the_drain_is_over_an_entry_is_refused_and_not_cancelled():
    class Silent(MemoryBackend):
        async def run(self, key, operation, *, timeout):  # noqa: ASYNC109 - a backend's
            await asyncio.Event().wait()

    throttle = AsyncConcurrencyThrottle(1, scope="silent", backend=Silent())
    asking = asyncio.create_task(throttle.check(AsyncRequestFactory().get("/")))
    await asyncio.sleep(0)
    await current_drain().settle(0.01)
    with pytest.raises(ServiceUnavailableError):
        await asking


@pytest.mark.parametrize("kind", BACKENDS)
async def test_cancelled_while_it_enters_it_leaves_its_place(make_backend, kind):
    made = make_backend(kind)
    throttle = AsyncConcurrencyThrottle(1, scope="enter", backend=made)
    for turns in range(0, 30, 3):
        request = AsyncRequestFactory().get("/")
        task = asyncio.create_task(throttle.check(request))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        request.close()
        async with asyncio.timeout(10):
            while True:
                await current_drain().settle(1)
                last = AsyncRequestFactory().get("/")
                try:
                    await throttle.check(last)
                except ThrottledError:
                    continue
                last.close()
                break
    await current_drain().settle(5)
    await made.aclose()


async def test_a_request_that_another_throttle_refuses_takes_no_place():
    application = get_asgi_application()
    assert [(await exchange(application, path="/rare")).status for _ in range(2)] == [200, 429]


async def test_a_place_is_held_on_to_for_as_long_as_its_request_lasts(monkeypatch, clock):
    monkeypatch.setattr(concurrency_throttle, "HOLD", 0.03)
    made = MemoryBackend(clock=clock)
    throttle = AsyncConcurrencyThrottle(1, scope="long", backend=made)
    renewals = asyncio.Queue()
    run = made.run

    async def counted(key, operation, **options):
        renewals.put_nowait(operation)
        return await run(key, operation, **options)

    made.run = counted
    request = AsyncRequestFactory().get("/")
    await throttle.check(request)
    for _ in range(3):
        await renewals.get()
    clock.advance(0.029)
    with pytest.raises(ThrottledError):
        await throttle.check(AsyncRequestFactory().get("/"))
    request.close()
    await current_drain().settle(5)
    assert len(made) == 0


@pytest.mark.parametrize("limit", [None, 0, 1001, True, "2", 1.5])
def test_an_invalid_limit_is_refused(limit):
    with pytest.raises(ValueError, match="limit must be a number from 1 to 1000"):
        AsyncConcurrencyThrottle(limit)
