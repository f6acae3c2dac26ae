"""Pains of async Django, on DAF's handler. The ORM's share is in tests/scenarios/orm."""

import asyncio
from contextvars import ContextVar

import pytest
from asgiref.sync import sync_to_async
from django.http import HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import path

from daf_orm import get_pool
from daf_views import AsyncView
from daf_views.asgi import get_asgi_application
from tests.project.library.models import Author
from tests.support.connection import Connection
from tests.support.exchange import exchange

pytestmark = pytest.mark.django_db(transaction=True)
tasks: list[asyncio.Task]
entered: list[object]
go_on: asyncio.Event
variable = ContextVar("variable", default="unset")


@pytest.fixture(autouse=True)
async def empty_stage():
    global tasks, entered, go_on
    tasks, entered, go_on = [], [], asyncio.Event()


async def query_and_wait(request):
    await Author.objects.acount()
    entered.append(request)
    await go_on.wait()
    return HttpResponse(str(await Author.objects.acount()))


async def leave_work_behind(request):
    tasks.append(asyncio.create_task(_work()))
    return HttpResponse("accepted")


async def _work():
    await go_on.wait()
    await Author.objects.acreate(name="later")


async def set_in_thread(request):
    before = variable.get()
    await sync_to_async(variable.set)("from a thread")
    return JsonResponse({"before": before, "after": variable.get()})


def variable_middleware(get_response):
    def middleware(request):
        variable.set("from a synchronous middleware")
        response = get_response(request)
        response["X-Variable"] = variable.get()
        return response

    return middleware


class Transfer(AsyncView):
    atomic = True

    async def post(self, request):
        await Author.objects.acreate(name="kept only on success")
        return HttpResponse(status=int(request.GET["status"]))


urlpatterns = [
    path("wait", query_and_wait),
    path("behind", leave_work_behind),
    path("variable", set_in_thread),
    path("transfer", Transfer.as_view()),
]


def open_connections() -> int:
    return get_pool().get_stats()["connections_open"]


async def test_3_requests_in_flight_hold_no_connection_while_they_wait(settings):
    settings.DAF_ORM = {"MAX_SIZE": 2} if get_pool().max_size > 1 else {}
    application = get_asgi_application()
    requests = [asyncio.create_task(exchange(application, path="/wait")) for _ in range(12)]
    while len(entered) < 12:
        await asyncio.sleep(0.001)
    assert get_pool().get_stats()["pool_available"] == get_pool().get_stats()["pool_size"] <= 2
    go_on.set()
    assert [answer.status for answer in await asyncio.gather(*requests)] == [200] * 12


async def test_15_tasks_that_outlive_their_request_use_the_pool():
    application = get_asgi_application()
    await asyncio.gather(*(exchange(application, path="/behind") for _ in range(40)))
    go_on.set()
    await asyncio.gather(*tasks)
    assert await Author.objects.acount() == 40
    assert open_connections() <= get_pool().max_size


async def test_16_a_cancelled_handler_leaves_no_connection_behind():
    application = get_asgi_application()
    await exchange(application, path="/behind")
    connections = open_connections()
    requests = [Connection(application, path="/wait") for _ in range(20)]
    for request in requests:
        request.send()
    while len(entered) < 20:
        await asyncio.sleep(0.001)
    for request in requests:
        request.task.cancel()
    await asyncio.wait([request.task for request in requests])
    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"]
    assert open_connections() <= max(connections, get_pool().max_size)
    assert len(application.in_flight()) == 0


@override_settings(MIDDLEWARE=[f"{__name__}.variable_middleware"])
async def test_24_context_variables_cross_hops_in_both_directions():
    answer = await exchange(get_asgi_application(), path="/variable")
    assert answer.body == b'{"before": "from a synchronous middleware", "after": "from a thread"}'
    assert answer.header("x-variable") == "from a thread"


@pytest.mark.parametrize(("status", "rows"), [(201, 1), (503, 0)])
async def test_25_an_atomic_view_keeps_its_rows_unless_it_failed(status, rows):
    answer = await exchange(get_asgi_application(), method="POST", path="/transfer", query=f"status={status}".encode())
    assert answer.status == status
    assert await Author.objects.acount() == rows
