"""Pain 28: limit 10, four workers, 200 requests at once, and 20 to 40 passed. Here: exactly 10, spoofed or not."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from django.db import connection

from tests.support.servers import until_listening

pytestmark = pytest.mark.timeout(180)  # five processes, on a machine that may be busy
ROOT = Path(__file__).parents[3]
WORKERS, REQUESTS, SPOOFED = 4, 200, 50


once = pytest.mark.sqlite_memory  # no database has a part in it


def served_database():
    """The test's own, where other processes can reach it."""
    keys = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    return {key: str(connection.settings_dict[key]) for key in keys}


@pytest.fixture(params=[pytest.param("redis", marks=once), "database", pytest.param("cache", marks=once)])
def environment(request, redis_url, transactional_db):
    if request.param == "database" and connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("no other process reaches SQLite in memory")
    cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    settings = {
        "DATABASES": {"default": served_database()},
        "CACHES": {"default": cache},
        "DAF_VIEWS": {
            "THROTTLE_BACKEND": request.param,
            "THROTTLE_LOCATION": redis_url if request.param == "redis" else "",
            "THROTTLE_PREFIX": f"test-{uuid.uuid4().hex}:",
            "THROTTLE_TIMEOUT": 30.0,
        },
    }
    return os.environ | {"PYTHONPATH": str(ROOT), "SERVED_SETTINGS": json.dumps(settings)}


@asynccontextmanager
async def serving(environment):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "tests.views.throttling.served:application", "--no-proxy-headers"]
    options = ["--port", str(port), "--workers", str(WORKERS), "--log-level", "warning", "--timeout-keep-alive", "120"]
    process = await asyncio.create_subprocess_exec(
        *command, *options, cwd=ROOT, env=environment, start_new_session=True
    )
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(120):
                await until_listening(port, process)
                clients = await _connected_to_all_workers(f"http://127.0.0.1:{port}", stack)
            yield clients
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _connected_to_all_workers(url, stack):
    """Return clients of one connection each, first one of each worker: the kernel chooses a connection's worker."""
    of_worker, others = {}, []
    while len(of_worker) < WORKERS or len(of_worker) + len(others) < REQUESTS:
        client = await stack.enter_async_context(_client(url))
        worker = (await client.get("/worker")).headers["Worker"]
        if of_worker.setdefault(worker, client) is not client:
            others.append(client)
            await asyncio.sleep(0 if len(of_worker) == WORKERS else 0.02)  # the others are still starting
    return [*of_worker.values(), *others]


def _client(url):
    one = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    return httpx.AsyncClient(base_url=url, limits=one, timeout=30, verify=False)


async def test_exactly_the_limit_passes_all_workers_together_and_no_spoofed_request_does(environment):
    async with serving(environment) as clients:
        start = time.monotonic()
        answers = await at_once(clients, [{}] * REQUESTS)
        # Every six seconds there is room for one more, from any client.
        room = int((time.monotonic() - start) // 6)
        assert {answer.status_code for answer in answers} == {200, 429}
        assert 10 <= sum(answer.status_code == 200 for answer in answers) <= 10 + room
        assert len({answer.headers["Worker"] for answer in answers}) == WORKERS
        spoofed = await at_once(clients, [made_up(number) for number in range(SPOOFED)])
        room = int((time.monotonic() - start) // 6)
    assert sum(answer.status_code == 200 for answer in answers + spoofed) <= 10 + room


async def at_once(clients, requests):
    at = time.time() + 1.5
    return await asyncio.gather(
        *(
            client.get("/limited", params={"at": at}, headers=headers)
            for client, headers in zip(clients, requests, strict=False)
        )
    )


def made_up(number):
    names = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X_Forwarded_For", "True-Client-IP")
    name, address = names[number % len(names)], f"203.0.113.{number}"
    return {name: f"for={address}" if name == "Forwarded" else address}
