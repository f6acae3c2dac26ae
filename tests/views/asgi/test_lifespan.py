import asyncio
import json
import signal
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import patch

import pytest
from django.db import connections
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from daf_orm import cursor, get_pool, pinned
from daf_views.asgi import current_drain, get_asgi_application, lifespan
from daf_views.health import readyz
from tests.support.connection import Connection
from tests.support.exchange import exchange

log: list[str]
go_on: asyncio.Event


@pytest.fixture(autouse=True)
async def empty_log():
    global log, go_on
    log, go_on = [], asyncio.Event()
    yield
    get_pool().open()


@pytest.fixture(autouse=True)
def own_hooks(monkeypatch):
    monkeypatch.setattr(lifespan, "_starting", [])
    monkeypatch.setattr(lifespan, "_stopping", [])


async def wait(request):
    log.append("view")
    await go_on.wait()
    return HttpResponse("done")


async def stream(request):
    async def parts():
        yield b"first"
        await go_on.wait()

    return StreamingHttpResponse(parts())


urlpatterns = [path("wait", wait), path("stream", stream), path("readyz", readyz)]


@asynccontextmanager
async def resource():
    log.append("open")
    try:
        yield
    finally:
        log.append("close")


@contextmanager
def sync_resource():
    log.append("sync open")
    yield
    log.append("sync close")


async def fail():
    raise LookupError("no such host")


class Server:
    """A server's side of the lifespan protocol."""

    def __init__(self, application=None) -> None:
        self.application = application or get_asgi_application()
        self._to_application: asyncio.Queue = asyncio.Queue()
        self._from_application: asyncio.Queue = asyncio.Queue()
        run = self.application({"type": "lifespan"}, self._to_application.get, self._from_application.put)
        self.task = asyncio.create_task(run)

    async def start(self):
        self._to_application.put_nowait({"type": "lifespan.startup"})
        return await self._from_application.get()

    def begin_to_stop(self):
        self._to_application.put_nowait({"type": "lifespan.shutdown"})

    async def stop(self):
        self.begin_to_stop()
        answer = await self._from_application.get()
        await self.task
        return answer


async def test_hooks_run_in_order_and_are_undone_in_reverse():
    lifespan.on_startup(lambda: log.append("first"))
    lifespan.on_startup(resource)
    lifespan.on_startup(sync_resource)
    lifespan.on_shutdown(lambda: log.append("one"))
    lifespan.on_shutdown(lambda: log.append("two"))
    server = Server()
    assert await server.start() == {"type": "lifespan.startup.complete"}
    assert await server.stop() == {"type": "lifespan.shutdown.complete"}
    assert log == ["first", "open", "sync open", "two", "one", "sync close", "close"]


async def test_hooks_may_be_named_in_the_settings():
    with override_settings(DAF_VIEWS={"LIFESPAN": [f"{__name__}.resource"]}):
        server = Server()
        await server.start()
        await server.stop()
    assert log == ["open", "close"]


async def test_a_server_whose_hook_raises_does_not_start_and_undoes_the_others(caplog):
    lifespan.on_startup(resource)
    lifespan.on_startup(fail)
    server = Server()
    answer = await server.start()
    assert answer["type"] == "lifespan.startup.failed"
    assert "no such host" in answer["message"]
    await server.task
    assert log == ["open", "close"]


async def test_the_pool_is_open_while_the_server_runs_and_closed_after():
    server = Server()
    await server.start()
    assert not get_pool().closed
    await server.stop()
    assert get_pool().closed


async def test_the_pool_stays_open_for_another_server_of_the_process():
    first, second = Server(), Server()
    await first.start()
    await second.start()
    await first.stop()
    assert not get_pool().closed
    await second.stop()
    assert get_pool().closed


async def test_the_end_waits_for_requests_in_flight():
    server = Server()
    await server.start()
    connection = Connection(server.application, path="/wait")
    connection.send()
    while not log:
        await asyncio.sleep(0)
    server.begin_to_stop()
    await current_drain().wait()
    assert not connection.task.done()
    go_on.set()
    await server.stop()
    assert connection.answer.status == 200


async def test_requests_that_do_not_end_in_time_are_cancelled_counted_and_answered_503(caplog):
    with override_settings(DAF_VIEWS={"DRAIN_TIMEOUT": 0.01}):
        server = Server()
        await server.start()
        connection = Connection(server.application, path="/wait")
        connection.send()
        while not log:
            await asyncio.sleep(0)
        await server.stop()
    assert connection.task.result() is None
    assert (connection.answer.status, connection.answer.header("retry-after")) == (503, "1")
    assert json.loads(connection.answer.body)["code"] == "shutting_down"
    assert "1 requests were cancelled" in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_stream_that_is_cut_off_stays_unfinished_without_an_error(caplog):
    with override_settings(DAF_VIEWS={"DRAIN_TIMEOUT": 0.01}):
        server = Server()
        await server.start()
        connection = Connection(server.application, path="/stream")
        connection.send()
        await connection.started.wait()
        await server.stop()
    assert connection.task.result() is None
    assert (connection.answer.status, connection.answer.is_complete) == (200, False)
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_body_that_is_still_coming_at_the_end_is_answered_503():
    with override_settings(DAF_VIEWS={"DRAIN_TIMEOUT": 0.01}):
        server = Server()
        await server.start()
        connection = Connection(server.application, path="/wait", method="POST", headers=[("Content-Length", "9")])
        connection.send(b"abc", more=True)
        while not connection.received:
            await asyncio.sleep(0)
        await server.stop()
    assert connection.answer.status == 503


async def test_a_request_that_the_server_cancels_itself_stays_cancelled():
    with override_settings(DAF_VIEWS={"DRAIN_TIMEOUT": 0.01}):
        server = Server()
        await server.start()
        connection = Connection(server.application, path="/wait")
        connection.send()
        while not log:
            await asyncio.sleep(0)
        connection.task.cancel()
        await server.stop()
    assert connection.task.cancelled()


async def test_sigterm_begins_the_drain_and_reaches_earlier_handlers():
    before = signal.signal(signal.SIGTERM, lambda *_: log.append("server"))
    try:
        server = Server()
        await server.start()
        assert (await exchange(server.application, path="/readyz")).status == 200
        signal.raise_signal(signal.SIGTERM)
        await current_drain().wait()
        assert (await exchange(server.application, path="/readyz")).status == 503
        await server.stop()
        assert log == ["server"]
        signal.raise_signal(signal.SIGTERM)
        assert log == ["server", "server"]
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_server_that_cancels_the_lifespan_still_gets_its_hooks_undone():
    lifespan.on_startup(resource)
    server = Server()
    await server.start()
    server.task.cancel()
    await asyncio.wait([server.task])
    assert log == ["open", "close"]


async def test_a_failure_at_the_end_is_told_after_everything_else_was_undone(caplog):
    lifespan.on_startup(resource)
    lifespan.on_shutdown(fail)
    server = Server()
    await server.start()
    assert (await server.stop())["type"] == "lifespan.shutdown.failed"
    assert log == ["open", "close"]
    assert get_pool().closed


async def test_a_hook_that_comes_after_the_start_is_told_so():
    server = Server()
    await server.start()
    with pytest.raises(RuntimeError, match="resource is registered after the server has started"):
        lifespan.on_startup(resource)
    await server.stop()


async def test_readiness_is_told_under_atomic_requests():
    with patch.dict(connections.settings["default"], {"ATOMIC_REQUESTS": True}):
        assert (await exchange(get_asgi_application(), path="/readyz")).status == 200


SETTING = "SELECT set_config('app.hook', 'set', false)"
ASKED = "SELECT current_setting('app.hook', true)"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
async def test_a_hook_leaves_no_setting_and_keeps_no_connection():
    def of_a_thread():
        with connections["default"].cursor() as cursor:
            cursor.execute(SETTING)

    async def of_the_loop():
        async with cursor() as opened:
            await opened.execute(ASKED)
            log.append((await opened.fetchone())[0] or "")
            await opened.execute(SETTING)

    @asynccontextmanager
    async def held():
        async with pinned():
            await of_the_loop()
            yield
            async with cursor() as opened:
                await opened.execute(ASKED)
                log.append((await opened.fetchone())[0])

    lifespan.on_startup(of_a_thread)
    lifespan.on_startup(of_the_loop)
    lifespan.on_startup(of_the_loop)
    server = Server()
    await server.start()
    assert get_pool().get_stats()["connections_pinned"] == 0
    await server.stop()
    assert log == ["", ""]

    lifespan._starting[:] = [held]
    log.clear()
    server = Server()
    await server.start()
    assert get_pool().get_stats()["connections_pinned"] == 1
    await server.stop()
    assert log == ["", "set"]
