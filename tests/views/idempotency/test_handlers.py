"""Bodies that come late, in parts, as files, or before the view is asked: under our handler, Django's, and WSGI."""

import asyncio
import json

import pytest
from django.core.asgi import get_asgi_application as get_djangos_application
from django.test import AsyncClient, Client
from django.urls import path

from daf_views import AsyncAPIView
from daf_views.api import JSONParser, MultiPartParser
from daf_views.asgi import get_asgi_application
from daf_views.http import load_body
from daf_views.idempotency import IdempotencyKey
from daf_views.idempotency.models import IdempotencyRecord
from tests.support.connection import Connection
from tests.support.exchange import exchange
from tests.views.idempotency.shop import KEY, Gate, count, create

pytestmark = pytest.mark.django_db(transaction=True)
gates = []


class Upload(AsyncAPIView):
    idempotency = IdempotencyKey()
    parsers = (JSONParser(limit=1000), MultiPartParser(limit=10_000))

    async def post(self, request):
        await create("order")
        return self.success({name: file.size for name, file in request.FILES.items()} or request.data)


class Unread(AsyncAPIView):
    """Reads the body directly, or not at all."""

    idempotency = IdempotencyKey()

    async def receive(self, request):
        """Take nothing."""

    async def post(self, request):
        await create("order")
        return self.success()


class Streamed(AsyncAPIView):
    """Reads the body as a stream, from where that stands."""

    idempotency = IdempotencyKey()

    async def receive(self, request):
        await load_body(request)
        request.data = request.read().decode()

    async def post(self, request):
        return self.success(request.data)


class Gated(AsyncAPIView):
    idempotency = IdempotencyKey()
    atomic = True

    async def post(self, request):
        await create("order")
        await gates[-1].passed()
        return self.success()


urlpatterns = [
    path("upload", Upload.as_view()),
    path("unread", Unread.as_view()),
    path("streamed", Streamed.as_view()),
    path("gated", Gated.as_view()),
]
APPLICATIONS = {"ours": get_asgi_application, "Django's": get_djangos_application}


@pytest.fixture(params=APPLICATIONS)
def application(request):
    return APPLICATIONS[request.param]()


def form(content):
    return b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content + b"\r\n--b--\r\n"


async def post(application, url, body, kind="application/json", key=KEY):
    headers = [("Idempotency-Key", key), ("Content-Type", kind), ("Content-Length", str(len(body)))]
    return await exchange(application, method="POST", path=url, body=body, headers=headers)


async def test_json_is_told_from_other_json(application):
    answers = [await post(application, "/upload", body) for body in (b'{"a": 1}', b'{"a": 1}', b'{"a": 2}', b"")]
    assert [answer.status for answer in answers] == [
        200,
        200,
        422,
        400,
    ]  # invalid JSON is refused before its key is claimed
    assert json.loads(answers[1].body) == {"a": 1}
    assert answers[1].header("Idempotency-Replayed") == "true"


@pytest.mark.parametrize("in_memory", [2**20, 0])
async def test_an_upload_is_told_from_another_and_still_parsed(application, settings, in_memory):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = in_memory  # 0: it goes to a file
    kind = "multipart/form-data; boundary=b"
    bodies = (form(b"x" * 5000), form(b"x" * 5000), form(b"y" * 5000))
    answers = [await post(application, "/upload", body, kind) for body in bodies]
    assert [answer.status for answer in answers] == [200, 200, 422]
    assert json.loads(answers[1].body) == {"file": 5000}
    assert await count() == 1


async def test_a_parser_s_limit_holds(application):
    answer = await post(application, "/upload", b'"' + b"x" * 2000 + b'"')
    assert answer.status == 413
    assert await IdempotencyRecord.objects.acount() == 0


async def test_an_unread_body_counts_too(application):
    answers = [await post(application, "/unread", body) for body in (b"a", b"a", b"b")]
    assert [answer.status for answer in answers] == [200, 200, 422]


async def test_a_body_that_is_read_as_a_stream_is_there_as_a_whole(application):
    answers = [await post(application, "/streamed", body) for body in (b"abc", b"abc", b"abd")]
    assert [(answer.status, answer.body) for answer in answers[:2]] == [(200, b'"abc"')] * 2
    assert answers[2].status == 422


async def test_one_that_is_too_large_to_be_looked_at_is_refused(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    assert (await post(get_asgi_application(), "/unread", b"x" * 101)).status == 413
    assert await count() == 0


async def test_a_client_that_hangs_up_has_no_effect_and_sends_it_again(several_connections):
    gates.append(Gate())
    headers = [("Idempotency-Key", KEY), ("Content-Type", "application/json"), ("Content-Length", "2")]
    connection = Connection(get_asgi_application(), method="POST", path="/gated", headers=headers)
    connection.send(b"{}")
    await gates[-1].entered.wait()
    connection.hang_up()
    await asyncio.wait([connection.task])
    assert (await count(), await IdempotencyRecord.objects.acount()) == (0, 0)
    gates[-1].opened.set()
    assert (await post(get_asgi_application(), "/gated", b"{}")).status == 200
    assert await count() == 1


async def test_one_that_hangs_up_in_the_middle_of_the_body_has_claimed_nothing():
    headers = [("Idempotency-Key", KEY), ("Content-Type", "application/json"), ("Content-Length", "2")]
    connection = Connection(get_asgi_application(), method="POST", path="/upload", headers=headers)
    connection.send(b"{", more=True)
    connection.hang_up()
    await asyncio.wait([connection.task])
    assert await IdempotencyRecord.objects.acount() == 0


async def test_with_the_async_client():
    headers = {"Idempotency-Key": KEY}
    answers = [
        await AsyncClient().post("/upload", {"a": 1}, content_type="application/json", headers=headers)
        for _ in range(2)
    ]
    assert [answer.json() for answer in answers] == [{"a": 1}] * 2
    assert await count() == 1


def test_under_wsgi():
    client = Client(headers={"Idempotency-Key": KEY})
    answers = [client.post("/upload", {"a": 1}, content_type="application/json") for _ in range(2)]
    assert [answer.json() for answer in answers] == [{"a": 1}] * 2
    assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true"]
    assert IdempotencyRecord.objects.count() == 1


@pytest.mark.django_db(transaction=False)
class TestInATestSTransaction:
    """pytest-django's db and Django's TestCase: the test's own transaction is around everything."""

    @pytest.mark.parametrize("atomic", [True, False])
    def test_keys_work(self, atomic, settings):
        settings.ROOT_URLCONF = (path("upload", Upload.as_view(atomic=atomic)),)
        client = Client(headers={"Idempotency-Key": KEY})
        answers = [client.post("/upload", {"a": 1}, content_type="application/json") for _ in range(2)]
        assert [answer.headers.get("Idempotency-Replayed") for answer in answers] == [None, "true"]
