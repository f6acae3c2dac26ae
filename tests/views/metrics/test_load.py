"""After a known load, the metrics are what was done: read over HTTP, as Prometheus reads them."""

import asyncio
import contextlib
import uuid
from collections import Counter

import pytest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from prometheus_client.parser import text_string_to_metric_families

from daf_orm import BlockingCallError, get_pool
from daf_orm.detection import recorders
from daf_views import AsyncAPIView
from daf_views.asgi import current_drain, get_asgi_application
from daf_views.idempotency import IdempotencyKey
from daf_views.metrics import metrics
from daf_views.tasks import async_task, notifier, run_in_background
from daf_views.throttling import AsyncRateThrottle
from tests.project.library.models import Author
from tests.support.exchange import exchange

TOKEN = "a token of more than 16 characters"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]
go_on: asyncio.Event
started: asyncio.Semaphore


@async_task
async def succeed():
    """Do nothing."""


@async_task(retries=2, backoff=0)
async def fail():
    raise LookupError


@async_task
async def run():
    started.release()
    await go_on.wait()


async def work():
    await go_on.wait()


class Throttled(AsyncAPIView):
    throttle = AsyncRateThrottle("3/hour", scope="load", key=lambda _: "all")

    async def get(self, request):
        return self.success({})


class Orders(AsyncAPIView):
    idempotency = IdempotencyKey()

    async def post(self, request):
        if request.GET.get("wait"):
            started.release()
            await go_on.wait()
        return self.success({}, status=503 if request.GET.get("fail") else 201)


async def query(request, times):
    for _ in range(times):
        await Author.objects.acount()
    return HttpResponse("done")


async def wait(request):
    started.release()
    await go_on.wait()
    return HttpResponse("done")


urlpatterns = [
    path("metrics", metrics),
    path("query/<int:times>", query),
    path("wait", wait),
    path("throttled", Throttled.as_view()),
    path("orders", Orders.as_view()),
]


@pytest.fixture
def application(settings):
    global go_on, started
    go_on, started = asyncio.Event(), asyncio.Semaphore(0)
    settings.MIDDLEWARE = []
    with override_settings(DAF_VIEWS={"METRICS_TOKEN": TOKEN, "MAX_IN_FLIGHT": 4, "MAX_WAITING": 1}):
        yield get_asgi_application()


@pytest.fixture
def read(application):
    """Read the metrics; return the differences to the first time."""
    first: Counter = Counter()

    async def read():
        await asyncio.to_thread(notifier.flush)
        answer = await exchange(application, path="/metrics", headers=[("Authorization", f"Bearer {TOKEN}")])
        assert answer.status == 200
        families = text_string_to_metric_families(answer.body.decode())
        found = Counter()
        for family in families:
            for sample in family.samples:
                found[sample.name, *sample.labels.values()] = sample.value
        if not first:
            first.update(found)
        found.subtract({key: value for key, value in first.items() if not key[0].startswith("daf_pool_max")})
        return found

    return read


async def test_the_pool(application, read):
    get_pool()  # without one there is nothing to be read
    await read()
    await asyncio.gather(*(exchange(application, path=f"/query/{times}") for times in (1, 2, 3)))
    found = await read()
    assert found["daf_pool_requests_total",] == 6
    assert found["daf_pool_waiting",] == found["daf_pool_errors_total",] == 0
    assert found["daf_pool_max_size",] == get_pool().max_size


async def test_requests_in_flight_waiting_and_refused(application, read):
    await read()
    under_way = [asyncio.create_task(exchange(application, path="/wait")) for _ in range(3)]
    for _ in range(3):
        await started.acquire()
    found = await read()
    assert (found["daf_requests_in_flight",], found["daf_requests_waiting",]) == (3, 0)  # besides this request
    go_on.set()
    await asyncio.gather(*under_way)
    assert (await read())["daf_requests_in_flight",] == 0


async def test_a_request_beyond_the_limits_is_counted(application, read):
    await read()
    under_way = [asyncio.create_task(exchange(application, path="/wait")) for _ in range(5)]
    for _ in range(4):
        await started.acquire()
    assert (await exchange(application, path="/wait")).status == 503
    go_on.set()
    await asyncio.gather(*under_way)
    assert (await read())["daf_requests_refused_total", "overloaded"] == 1


async def test_throttles(application, read):
    await read()
    statuses = [(await exchange(application, path="/throttled")).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    found = await read()
    assert found["daf_throttle_requests_total", "load", "allowed"] == 3
    assert found["daf_throttle_requests_total", "load", "refused"] == 2


async def test_idempotency_keys(application, read):
    async def order(key, query="", body=b"{}"):
        headers = [("Idempotency-Key", key), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        request = {"method": "POST", "path": "/orders", "query": query.encode(), "headers": headers, "body": body}
        return (await exchange(application, **request)).status

    first, second, third = [str(uuid.uuid4()) for _ in range(3)]
    await read()
    assert [await order(first) for _ in range(3)] == [201, 201, 201]
    assert await order(first, body=b'{"other": 1}') == 422
    assert await order(second, query="fail=1") == 503
    waiting = asyncio.create_task(order(third, query="wait=1"))
    await started.acquire()
    assert await order(third, query="wait=1") == 409
    go_on.set()
    assert await waiting == 201
    grown = {key[1:]: value for key, value in (await read()).items() if key[0] == "daf_idempotency_requests_total"}
    found = {outcome: value for (outcome,), value in grown.items() if value}  # earlier tests have had other outcomes
    assert found == {"stored": 2, "replayed": 2, "conflict": 1, "released": 1, "in_progress": 1}


async def test_tasks(read):
    await read()
    [await succeed.aenqueue() for _ in range(3)]
    failed = await fail.aenqueue()
    under_way = [await run.aenqueue() for _ in range(2)]
    run_in_background(work)
    for _ in under_way:
        await started.acquire()
    while not failed.is_finished:
        await asyncio.sleep(0)
    found = await read()
    name = f"{__name__}.{{}}".format
    assert found["daf_tasks_enqueued_total", name("succeed")] == 3
    assert found["daf_tasks_finished_total", name("succeed"), "successful"] == 3
    assert found["daf_tasks_finished_total", name("fail"), "failed"] == 1
    assert found["daf_tasks_retried_total", name("fail")] == 2
    assert found["daf_tasks_running", name("run")] == 2
    assert found["daf_background_running",] == 1
    go_on.set()
    await current_drain().settle(5)
    found = await read()
    assert found["daf_tasks_running", name("run")] == found["daf_background_running",] == 0
    assert found["daf_tasks_finished_total", name("run"), "successful"] == 2


async def test_tasks_are_counted_once_if_others_listen_too(read):
    from daf_views.tasks.compat import task_enqueued, task_finished  # noqa: PLC0415

    heard = []

    def hear(sender, task_result, **_):
        heard.append(task_result.id)

    await read()
    task_enqueued.connect(hear)
    task_finished.connect(hear)
    try:
        await succeed.aenqueue()
        await current_drain().settle(5)
    finally:
        task_enqueued.disconnect(hear)
        task_finished.disconnect(hear)
    found = await read()
    assert found["daf_tasks_enqueued_total", f"{__name__}.succeed"] == 1
    assert found["daf_tasks_finished_total", f"{__name__}.succeed", "successful"] == 1
    assert len(heard) == 2


async def test_tasks_of_the_database_are_counted_where_they_are_enqueued(read):
    await read()
    await succeed.using(backend="database").aenqueue()
    assert (await read())["daf_tasks_enqueued_total", f"{__name__}.succeed"] == 1


async def test_blocking_calls(read):
    await read()
    before = recorders.set_recorders([])  # that of the test would fail it
    try:
        for _ in range(3):
            with contextlib.suppress(BlockingCallError):
                Author.objects.count()
    finally:
        recorders.set_recorders(before)
    assert (await read())["daf_blocking_calls_total", "raised"] == 3
