"""The program of test_soak: requests by the thousand, cut off at random, and what the process has before and after.

It runs in a separate process: leftovers of other tests would be counted.
"""

import asyncio
import gc
import json
import logging
import random
import threading
from collections import Counter

import psutil
from django.conf import settings
from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path

from daf_orm import get_pool
from daf_views import AsyncAPIView, AsyncView
from daf_views.asgi import get_asgi_application
from daf_views.middleware import thread_free
from daf_views.streaming import sse
from tests.project.library.models import Author
from tests.support.connection import Connection

AT_ONCE = 40


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


async def one_request(application, chance) -> int:
    """Send one; perhaps hang up or cancel it, after as many turns of the event loop as it takes or not.

    Return the status of the answer, 0 where there was none.
    """
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
    connection.hang_up()  # in the end every client leaves
    await asyncio.wait([connection.task])
    if not connection.task.cancelled() and (error := connection.task.exception()) is not None:
        raise error
    return connection.answer.status


async def storm(application, chance, number: int) -> Counter[int]:
    """Send that many; return how many were answered with which status."""
    places = asyncio.Semaphore(AT_ONCE)

    async def limited():
        async with places:
            return await one_request(application, chance)

    async with asyncio.TaskGroup() as group:
        requests = [group.create_task(limited()) for _ in range(number)]
    return Counter(request.result() for request in requests)


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


async def _measure_storms(requests: int) -> dict[str, dict]:
    application, chance = get_asgi_application(), random.Random(7)
    await storm(application, chance, 1000)  # threads, caches and connections that stay are there from here on
    before, statuses = await measure(), Counter()
    for _ in range(requests // 1000):
        statuses += await storm(application, chance, 1000)
    after = await measure()
    return {"before": before, "after": after | {"in flight": len(application.in_flight())}, "statuses": statuses}


def main(requests: int) -> None:
    """Send them to a new application, and print the measurements as JSON."""
    settings.ALLOWED_HOSTS, settings.ROOT_URLCONF = ["testserver"], __name__
    settings.MIDDLEWARE = thread_free(
        [
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
    )
    logging.disable(logging.CRITICAL)
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        connection.creation.create_test_db(verbosity=0)  # a process cannot see another's memory
    measured = asyncio.run(_measure_storms(requests))
    print(json.dumps(measured | {"pool": get_pool().max_size, "rows": Author.objects.count()}))
