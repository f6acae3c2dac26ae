"""Requests by the thousand, cut off at random: nothing of them is left. ``make soak`` runs 100,000 of them."""

import asyncio
import gc
import logging
import os
import random
import threading

import psutil
import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from daf_orm import get_pool
from daf_views import AsyncAPIView, AsyncView
from daf_views.asgi import get_asgi_application
from daf_views.middleware import thread_free
from daf_views.streaming import sse
from tests.project.library.models import Author
from tests.views.connection import Connection

REQUESTS = int(os.environ.get("DAF_SOAK", "3000"))
AT_ONCE = 40
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(60 + REQUESTS // 50)]


async def plain(request):
    return HttpResponse("hello")


async def query(request):
    return HttpResponse(str(await Author.objects.acount()))


def query_in_thread(request):
    return HttpResponse(str(Author.objects.count()))


class Transfer(AsyncView):
    atomic = True

    async def post(self, request):
        author = await Author.objects.acreate(name="short-lived")
        await author.adelete()
        return HttpResponse("done")


class Echo(AsyncAPIView):
    async def post(self, request):
        return self.success(request.data)


async def stream(request):
    async def numbers():
        for number in range(5):
            await asyncio.sleep(0)
            yield str(number)

    return StreamingHttpResponse(numbers())


async def events(request):
    async def numbers():
        for number in range(5):
            await asyncio.sleep(0.001)
            yield {"number": number}

    return sse(numbers())


urlpatterns = [
    path("plain", plain),
    path("query", query),
    path("thread", query_in_thread),
    path("transfer", Transfer.as_view()),
    path("echo", Echo.as_view()),
    path("stream", stream),
    path("events", events),
]
KINDS = [
    {"path": "/plain"},
    {"path": "/query"},
    {"path": "/thread"},
    {"path": "/stream"},
    {"path": "/events"},
    {"path": "/nowhere"},
    {"path": "/transfer", "method": "POST"},
    {"path": "/echo", "method": "POST", "headers": [("Content-Type", "application/json")]},
]


async def one_request(application, chance) -> None:
    """Send one; perhaps hang up or cancel it, after as many turns of the event loop as it takes or not."""
    connection = Connection(application, **chance.choice(KINDS))
    if chance.random() < 0.9:
        connection.send(b'{"a": [1, 2, 3]}')
    fate = chance.choice(["answer", "answer", "hang up", "cancel", "both"])
    for _ in range(chance.randrange(60) if fate != "answer" else 0):
        await asyncio.sleep(0)
    if fate in {"hang up", "both"} or connection._messages.empty():
        connection.hang_up()
    if fate in {"cancel", "both"}:
        connection.task.cancel()
    connection.hang_up()  # in the end everybody leaves
    await asyncio.wait([connection.task])
    if not connection.task.cancelled() and (error := connection.task.exception()) is not None:
        raise error


async def storm(application, chance, number: int) -> None:
    places = asyncio.Semaphore(AT_ONCE)

    async def limited():
        async with places:
            await one_request(application, chance)

    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            group.create_task(limited())


async def measure() -> dict[str, int]:
    await asyncio.sleep(0.01)
    gc.collect()
    return {"tasks": len(asyncio.all_tasks()), **await asyncio.to_thread(_measure_process)}


def _measure_process() -> dict[str, int]:
    stats = get_pool().get_stats()
    return {
        "threads": threading.active_count(),
        "leases out": stats["pool_size"] - stats["pool_available"],
        "waiting": stats["requests_waiting"],
        "objects": len(gc.get_objects()),
        "descriptors": psutil.Process().num_fds(),
        "memory": psutil.Process().memory_info().rss // 2**20,
    }


@pytest.fixture
def no_logs():
    """No records: pytest keeps those of a test, with the requests in them."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


async def test_requests_cut_off_at_random_leave_nothing_behind(settings, no_logs):
    settings.MIDDLEWARE = thread_free(
        [
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
    )
    application, chance = get_asgi_application(), random.Random(7)
    await storm(application, chance, 1000)  # threads, caches and connections that stay are there from here on
    before = await measure()
    for _ in range(REQUESTS // 1000):
        await storm(application, chance, 1000)
    after = await measure()
    assert len(application.in_flight()) == 0
    assert (after["tasks"], after["leases out"], after["waiting"]) == (1, 0, 0)
    assert after["threads"] <= before["threads"] + get_pool().max_size + (os.cpu_count() or 1) + 4  # asyncio's own
    assert after["descriptors"] <= before["descriptors"] + get_pool().max_size
    assert after["objects"] < before["objects"] + 2000, (before, after)
    assert after["memory"] <= before["memory"] + 32, (before, after)
    assert await Author.objects.acount() == 0
