import asyncio
import functools
import gc
import logging
import os
import sys
import threading
import tracemalloc
from contextvars import ContextVar
from io import BytesIO

import pytest
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.signals import request_finished, request_started
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import get_script_prefix, get_urlconf, path, set_urlconf
from django.utils import timezone, translation
from django.utils.deprecation import MiddlewareMixin

from daf_orm import PoolTimeout, get_pool, transaction
from daf_orm.test import count_hops
from daf_views._django.handlers import call_of_django
from daf_views._django.requests import AsyncRequest
from daf_views.asgi import get_asgi_application
from daf_views.asgi.handler import AsyncHandler
from daf_views.http.request import UnreceivedBody, load_body, take_body_itself
from daf_views.middleware import thread_free
from tests.project.library.models import Author
from tests.support.connection import Connection
from tests.support.exchange import exchange, scope


class Stage:
    """Events that the views of this module set for their test, and wait for."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended = []
        self.threads = set()
        self.barrier = threading.Barrier(2)


stage: Stage


@pytest.fixture(autouse=True)
async def fresh_stage():
    global stage  # noqa: PLW0603 - views find it here
    stage = Stage()


async def plain(request):
    return HttpResponse("hello")


async def wait(request):
    stage.entered.set()
    try:
        await stage.go_on.wait()
    except asyncio.CancelledError:
        stage.ended.append("cancelled")
        raise
    return HttpResponse("waited")


def in_thread(request):
    stage.threads.add(threading.current_thread())
    stage.barrier.wait(timeout=20)
    return HttpResponse("from a thread")


def count_authors(request):
    return HttpResponse(str(Author.objects.count()))


async def echo(request):
    return HttpResponse(request.body)


def echo_in_thread(request):
    return HttpResponse(request.body)


async def ignore_body(request):
    stage.ended.append(isinstance(request._stream, UnreceivedBody))
    return HttpResponse("not read")


ignore_body.csrf_exempt = True
take_body_itself(ignore_body)


async def take_body(request):
    await load_body(request, limit=10)
    return HttpResponse(request.body)


take_body.csrf_exempt = True
take_body_itself(take_body)


async def exhausted(request):
    raise PoolTimeout("10 of 10 lent")


async def broken(request):
    raise ValueError("secret")


async def stream(request):
    async def numbers():
        try:
            yield b"1"
            stage.entered.set()
            await stage.go_on.wait()
            yield b"2"
        finally:
            stage.ended.append("closed")

    return StreamingHttpResponse(numbers())


class Contents(BytesIO):
    def read(self, size=-1):
        stage.threads.add(threading.current_thread())
        return super().read(size)

    def close(self):
        stage.ended.append(threading.current_thread())
        super().close()


async def file(request):
    return FileResponse(Contents(b"x" * 200_000), filename="x.bin")


urlpatterns = [
    path("plain", plain),
    path("wait", wait),
    path("thread", in_thread),
    path("count", count_authors),
    path("echo", echo),
    path("echo-in-thread", echo_in_thread),
    path("ignore", ignore_body),
    path("take", take_body),
    path("exhausted", exhausted),
    path("broken", broken),
    path("stream", stream),
    path("file", file),
    path("local", lambda request: local_view(request)),
]


@pytest.fixture
def application():
    return get_asgi_application()


async def test_a_request_costs_no_hop_and_no_thread(application):
    await exchange(application, path="/plain")
    before = set(threading.enumerate())
    with count_hops() as hops:
        answer = await exchange(application, path="/plain")
    assert (answer.status, answer.body, hops.total) == (200, b"hello", 0)
    assert set(threading.enumerate()) <= before  # no new one; one of an earlier test's may end meanwhile


async def test_concurrent_requests_run_synchronous_views_on_different_threads(application, django_db_blocker):
    if get_pool().max_size == 1:
        pytest.skip("in-memory SQLite has one connection")
    answers = await asyncio.gather(*(exchange(application, path="/thread") for _ in range(2)))
    assert [answer.status for answer in answers] == [200, 200]
    assert len(stage.threads) == 2


@pytest.mark.django_db(transaction=True)
async def test_a_synchronous_view_uses_a_lease_and_gives_it_back(application):
    await Author.objects.acreate(name="A")
    requests = get_pool().get_stats()["requests_num"]
    answer = await exchange(application, path="/count")
    assert answer.body == b"1"
    assert get_pool().get_stats()["requests_num"] == requests + 1
    assert get_pool().get_stats()["pool_available"] == get_pool().get_stats()["pool_size"]


async def test_a_client_that_hangs_up_cancels_the_view(application):
    connection = Connection(application, path="/wait")
    connection.send()
    await stage.entered.wait()
    connection.hang_up()
    await connection.task
    assert stage.ended == ["cancelled"]
    assert connection.answer.status == 0


async def test_a_client_that_hangs_up_closes_the_stream(application):
    connection = Connection(application, path="/stream")
    connection.send()
    await stage.entered.wait()
    connection.hang_up()
    await connection.task
    assert stage.ended == ["closed"]
    assert (connection.answer.body, connection.answer.is_complete) == (b"1", False)


async def test_the_answer_to_head_does_not_begin_a_stream(application):
    answer = await exchange(application, method="HEAD", path="/stream")
    assert (answer.status, answer.body, answer.is_complete) == (200, b"", True)
    assert not stage.entered.is_set()


async def test_a_task_that_is_cancelled_itself_stays_cancelled(application):
    connection = Connection(application, path="/wait")
    connection.send()
    await stage.entered.wait()
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.task
    assert stage.ended == ["cancelled"]


async def test_hanging_up_and_cancelling_at_once_counts_as_cancelled(application):
    connection = Connection(application, path="/wait")
    connection.send()
    await stage.entered.wait()
    connection.hang_up()
    connection.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connection.task


async def test_a_body_is_there_before_a_view_of_djangos_kind(application):
    answer = await exchange(application, method="POST", path="/echo", body=b"hello")
    assert answer.body == b"hello"


@override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=4)
async def test_a_large_body_goes_to_a_file_and_comes_back(application):
    connection = Connection(application, method="POST", path="/echo-in-thread")
    connection.send(b"abc", more=True)
    connection.send(b"def", more=True)
    connection.send(b"ghi")
    await connection.task
    assert connection.answer.body == b"abcdefghi"


async def test_a_view_that_defers_the_body_answers_before_it_came(application):
    connection = Connection(application, method="POST", path="/ignore")
    await connection.task
    assert (connection.answer.body, connection.received) == (b"not read", 0)
    assert stage.ended == [True]


CSRF = "django.middleware.csrf.CsrfViewMiddleware"


async def test_a_form_from_another_site_is_refused_before_it_came():
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", "http://evil.example")]
    with override_settings(MIDDLEWARE=thread_free([CSRF])):
        connection = Connection(get_asgi_application(), method="POST", path="/echo", headers=headers)
        await connection.task  # it would wait for the form
    assert connection.answer.status == 403


@override_settings(MIDDLEWARE=[CSRF])
async def test_djangos_own_csrf_middleware_finds_the_form():
    headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", f"csrftoken={'a' * 32}")]
    body = f"csrfmiddlewaretoken={'a' * 32}".encode()
    answer = await exchange(get_asgi_application(), method="POST", path="/echo", headers=headers, body=body)
    assert (answer.status, answer.body) == (200, body)


async def test_a_deferred_body_is_received_on_demand(application):
    connection = Connection(application, method="POST", path="/take")
    connection.send(b"abc", more=True)
    connection.send(b"def")
    await connection.task
    assert connection.answer.body == b"abcdef"


async def test_a_deferred_body_over_the_limit_is_refused_before_its_end(application):
    connection = Connection(application, method="POST", path="/take")
    connection.send(b"x" * 11, more=True)
    await connection.task
    assert connection.answer.status == 400  # Django's response to RequestDataTooBig


async def test_a_client_that_hangs_up_in_a_deferred_body_cancels_the_view(application, caplog):
    connection = Connection(application, method="POST", path="/take")
    connection.send(b"abc", more=True)
    connection.hang_up()
    await connection.task
    assert connection.answer.status == 0
    assert caplog.records == []


async def test_unknown_middleware_gets_the_body_first():
    with override_settings(MIDDLEWARE=[f"{__name__}.foreign_middleware"]):
        answer = await exchange(get_asgi_application(), method="POST", path="/ignore", body=b"abc")
    assert answer.header("x-body") == "abc"


def foreign_middleware(get_response):
    async def middleware(request):
        body = request.body
        response = await get_response(request)
        response["X-Body"] = body.decode()
        return response

    return middleware


foreign_middleware.async_capable, foreign_middleware.sync_capable = True, False


async def test_reading_a_body_that_has_not_come_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"await daf_views\.http\.load_body"):
        ASGIRequest({"type": "http", "method": "POST", "path": "/"}, UnreceivedBody()).body  # noqa: B018


async def test_an_exhausted_pool_is_answered_503_with_retry_after(application):
    answer = await exchange(application, path="/exhausted")
    assert (answer.status, answer.header("retry-after")) == (503, "1")
    assert answer.header("content-type") == "application/problem+json"
    assert b"lent" not in answer.body


class Exhausted:
    """Raises what an exhausted pool raises, wherever Django calls it."""

    def __init__(self, get_response=None):
        self.calls = 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        raise PoolTimeout("10 of 10 lent")


def synchronous_middleware(get_response):
    return lambda request: get_response(request)


@pytest.fixture
async def exhausted_pool(settings):
    """A pool of one, whose lease is out."""
    settings.DAF_ORM = {"MAX_SIZE": 1, "TIMEOUT": 0.05}

    async def hold():
        async with transaction.atomic():
            stage.entered.set()
            await stage.go_on.wait()

    holder = asyncio.create_task(hold())
    await stage.entered.wait()
    yield
    stage.go_on.set()
    await holder


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", [[], ["daf_views.middleware.async_error_middleware"]])
async def test_a_synchronous_middleware_that_finds_no_connection_is_answered_503(first, exhausted_pool):
    with override_settings(MIDDLEWARE=[*first, f"{__name__}.synchronous_middleware"]):
        answer = await exchange(get_asgi_application(), path="/plain")
    assert (answer.status, answer.header("retry-after")) == (503, "1")


async def test_a_receiver_of_request_started_that_finds_no_connection_is_answered_503(application):
    receiver = Exhausted()
    request_started.connect(receiver)
    try:
        answer = await exchange(application, path="/plain")
    finally:
        request_started.disconnect(receiver)
    assert (answer.status, answer.header("retry-after")) == (503, "1")


async def test_a_receiver_of_request_finished_for_which_there_was_no_connection_is_called_without(application):
    receiver = Exhausted()
    request_finished.connect(receiver)
    try:
        with pytest.raises(PoolTimeout):
            await exchange(application, path="/plain")
    finally:
        request_finished.disconnect(receiver)
    assert receiver.calls == 2


def report_the_form(request, exception):
    stage.ended.append(dict(request.POST))  # as a context processor may
    return HttpResponse("reported", status=404)


handler404 = report_the_form


async def test_an_error_before_the_body_came_can_be_reported_with_its_form(application):
    form = [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "3")]
    answer = await exchange(application, method="POST", path="/nowhere", headers=form, body=b"a=1")
    assert (answer.status, answer.body, stage.ended) == (404, b"reported", [{}])


class FormHandler(logging.Handler):
    """Looks at the form, as AdminEmailHandler does."""

    def emit(self, record):
        stage.ended.append(dict(record.request.POST))


@override_settings(MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
async def test_a_form_that_was_refused_before_it_came_can_be_logged():
    application = get_asgi_application()  # configures logging
    handler, logger = FormHandler(), logging.getLogger("django.security.DisallowedHost")
    logger.addHandler(handler)
    try:
        request = {"method": "POST", "headers": [("Content-Type", "application/x-www-form-urlencoded")]}
        answer = await exchange(application, path="/plain", body=b"a=1", host="evil.example", **request)
    finally:
        logger.removeHandler(handler)
    assert (answer.status, stage.ended) == (400, [{}])


async def test_a_task_is_not_being_cancelled_any_more_when_its_client_had_left_but_was_answered(application):
    async def swallow(request):
        try:
            await wait(request)
        except asyncio.CancelledError:
            return HttpResponse("too late")

    urlpatterns.append(path("swallow", swallow))
    try:
        connection = Connection(application, path="/swallow")
        connection.send()
        await stage.entered.wait()
        connection.hang_up()
        await connection.task
    finally:
        urlpatterns.pop()
    assert connection.task.cancelling() == 0


@override_settings(DAF_VIEWS={"BODY_TIMEOUT": 0.01})
async def test_a_client_that_does_not_send_its_body_is_answered_408(application):
    with override_settings(MIDDLEWARE=[f"{__name__}.foreign_middleware"]):
        connection = Connection(get_asgi_application(), method="POST", path="/echo")
        connection.send(b"abc", more=True)
        await connection.task
    assert connection.answer.status == 408


@override_settings(DAF_VIEWS={"THREAD_PER_REQUEST": True}, MIDDLEWARE=[f"{__name__}.LocalMiddleware"])
async def test_with_a_thread_per_request_a_thread_local_is_the_requests():
    answer = await exchange(get_asgi_application(), path="/local")
    assert answer.body == b"/local"
    for thread in threading.enumerate():
        if thread.name.startswith("daf_views-request"):
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive()


local = threading.local()


class LocalMiddleware(MiddlewareMixin):
    def process_request(self, request):
        local.path = request.path


def local_view(request):
    return HttpResponse(getattr(local, "path", "nothing"))


async def test_an_exception_becomes_djangos_500(application, caplog):
    answer = await exchange(application, path="/broken")
    assert answer.status == 500
    assert b"secret" not in answer.body


async def test_a_file_is_read_in_chunks_and_closed_on_worker_threads(application):
    answer = await exchange(application, path="/file")
    assert len(answer.body) == 200_000
    assert len([chunk for chunk in answer.chunks if chunk]) > 1
    assert threading.current_thread() not in {*stage.threads, *stage.ended}


class Large(BytesIO):
    """Eight mebibytes that do not compress, and are nowhere at once."""

    part, left = os.urandom(2**16), 128

    def read(self, size=-1):
        assert size == len(self.part)
        self.left -= 1
        return self.part if self.left >= 0 else b""


async def large(request):
    return FileResponse(Large(), content_type="text/plain")


urlpatterns.append(path("large", large))


@pytest.mark.parametrize("gzip", ["django.middleware.gzip.GZipMiddleware", "daf_views.middleware.gzip.GZipMiddleware"])
async def test_a_file_behind_gzip_is_never_in_memory_as_a_whole(settings, gzip):
    settings.MIDDLEWARE = [gzip]
    application, sent, most = get_asgi_application(), [], []

    async def send(message):
        sent.append(len(message.get("body", b"")))
        most.append(tracemalloc.get_traced_memory()[0])

    messages = [{"type": "http.request"}]

    async def receive():
        return messages.pop() if messages else await asyncio.Event().wait()

    tracemalloc.start()
    try:
        await application(scope(path="/large", headers=[("Accept-Encoding", "gzip")]), receive, send)
    finally:
        tracemalloc.stop()
    assert sum(sent) > 8 * 2**20
    buffers = 2**20 if sys.version_info >= (3, 14) else 0  # of Python's gzip, which have grown
    assert max(most) - most[0] < 2**20 + buffers


async def test_work_that_outlives_its_request_may_still_use_threads(application):
    async def later():
        await stage.go_on.wait()
        return await sync_to_async(threading.current_thread)()

    tasks = []

    class Handler(AsyncHandler):
        async def get_response_async(self, request):
            tasks.append(asyncio.create_task(later()))
            return await super().get_response_async(request)

    await exchange(Handler(), path="/plain")
    stage.go_on.set()
    assert await tasks[0] is not threading.current_thread()


async def test_a_hundred_requests_leave_nothing_behind(application):
    await asyncio.gather(*(exchange(application, path="/plain") for _ in range(3)))
    gc.collect()
    tasks, threads = len(asyncio.all_tasks()), set(threading.enumerate())
    await asyncio.gather(*(exchange(application, path="/plain") for _ in range(100)))
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == tasks
    assert set(threading.enumerate()) <= threads  # no new one; one of an earlier test's may end meanwhile
    assert len(application.in_flight()) == 0


async def test_another_protocol_is_refused(application):
    with pytest.raises(ValueError, match="not websocket"):
        await application({"type": "websocket"}, None, None)


async def test_every_http_request_goes_through_djangos_call_which_tracing_packages_wrap(application, monkeypatch):
    seen, call = [], ASGIHandler.__call__

    async def traced(self, scope, receive, send):
        seen.append(scope["path"])
        await call(self, scope, receive, send)

    monkeypatch.setattr(ASGIHandler, "__call__", traced)
    for target in ("/plain", "/broken", "/nowhere"):
        await exchange(application, path=target)
    assert seen == ["/plain", "/broken", "/nowhere"]


def test_a_tracer_that_came_before_daf_is_not_taken_for_django(monkeypatch):
    assert call_of_django() is ASGIHandler.__call__

    @functools.wraps(ASGIHandler.__call__)
    async def traced(self, scope, receive, send):
        raise NotImplementedError

    monkeypatch.setattr(ASGIHandler, "__call__", traced)
    assert call_of_django() is None


class Behind(ASGIHandler):
    """A class of a project, written for Django's handler."""

    async def __call__(self, scope, receive, send):
        stage.ended.append("behind")
        await super().__call__(scope, receive, send)


class InFront(AsyncHandler, Behind):
    pass


class OwnHandle(AsyncHandler):
    async def handle(self, scope, receive, send):
        await sync_to_async(stage.barrier.wait)(timeout=20)
        await super().handle(scope, receive, send)


async def test_a_class_between_dafs_handler_and_djangos_is_called():
    assert (await exchange(InFront(), path="/plain")).status == 200
    assert stage.ended == ["behind"]


async def test_synchronous_code_of_an_own_handle_waits_for_no_other_request():
    handler = OwnHandle()
    answers = await asyncio.gather(*(exchange(handler, path="/plain") for _ in range(2)))
    assert [answer.status for answer in answers] == [200, 200]


mark = ContextVar("mark", default="the caller's")


async def localized(request):
    set_urlconf("tests.project.urls")
    translation.activate("de")
    timezone.activate("Asia/Tokyo")
    mark.set("the view's")
    if "broken" in request.GET:
        raise ValueError
    if "wait" in request.GET:
        stage.entered.set()
        await stage.go_on.wait()
    return HttpResponse(f"{get_script_prefix()} {translation.get_language()} {mark.get()}")


def here():
    return (
        get_urlconf(),
        get_script_prefix(),
        translation.get_language(),
        str(timezone.get_current_timezone()),
        mark.get(),
    )


@override_settings(FORCE_SCRIPT_NAME="/below")
@pytest.mark.parametrize("query", [b"", b"broken"])
async def test_nothing_that_a_request_sets_is_left_in_its_callers_context(application, query):
    before = here()
    answer = await exchange(application, path="/below/localized", query=query)
    assert answer.status == (500 if query else 200)
    assert query or answer.body == b"/below/ de the view's"
    assert here() == before


async def test_the_prefix_of_urls_is_the_servers_whatever_a_request_class_does():
    class Request(AsyncRequest):
        def __init__(self, scope, body):
            super().__init__(scope, body)
            self.script_name = "/elsewhere"

    class Handler(AsyncHandler):
        request_class = Request

    assert (await exchange(Handler(), path="/localized")).body == b"/ de the view's"


async def test_nothing_is_left_by_a_request_whose_client_hangs_up(application):
    messages = [{"type": "http.request"}]

    async def receive():
        if messages:
            return messages.pop()
        await stage.entered.wait()
        return {"type": "http.disconnect"}

    before = here()
    await application(scope(path="/localized", query=b"wait"), receive, None)
    assert here() == before


async def test_context_variables_of_the_caller_are_seen_by_the_view(application):
    token = mark.set("another")
    answer = await exchange(application, path="/mark")
    mark.reset(token)
    assert answer.body == b"another"


async def marked(request):
    return HttpResponse(mark.get())


urlpatterns += [path("localized", localized), path("mark", marked)]
