"""Pain 28: limit 10, four workers, 200 requests at once, and 20 to 40 passed. Here: exactly 10, spoofed or not."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from django.db import connection

pytestmark = pytest.mark.timeout(180)  # five processes of its own, on a machine that may be busy
ROOT = Path(__file__).parents[3]
WORKERS, REQUESTS, SPOOFED = 4, 200, 50


def served_database(tmp_path):
    """The test's own, where other processes can reach it."""
    if connection.vendor == "sqlite":
        name = tmp_path / "db.sqlite3" if connection.is_in_memory_db() else connection.settings_dict["NAME"]
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(name)}
    keys = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    return {key: connection.settings_dict[key] for key in keys}


once = pytest.mark.sqlite_memory  # no database has a part in it


@pytest.fixture(params=[pytest.param("redis", marks=once), "database", pytest.param("cache", marks=once)])
def environment(request, redis_url, tmp_path, transactional_db):
    cache = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    settings = {
        "DATABASES": {"default": served_database(tmp_path)},
        "CACHES": {"default": cache},
        "DAF_VIEWS": {
            "THROTTLE_BACKEND": request.param,
            "THROTTLE_LOCATION": redis_url if request.param == "redis" else "",
            "THROTTLE_PREFIX": f"test-{uuid.uuid4().hex}:",
            "THROTTLE_TIMEOUT": 30.0,
        },
    }
    environment = os.environ | {"PYTHONPATH": str(ROOT), "SERVED_SETTINGS": json.dumps(settings)}
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        migrate = "from tests.views.throttling import served; from django.core.management import call_command as call"
        command = [sys.executable, "-c", f"{migrate}; call('migrate', verbosity=0)"]
        subprocess.run(command, env=environment, cwd=ROOT, check=True)
    return environment


@asynccontextmanager
async def serving(environment):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "tests.views.throttling.served:application", "--no-proxy-headers"]
    options = ["--port", str(port), "--workers", str(WORKERS), "--log-level", "warning"]
    process = await asyncio.create_subprocess_exec(
        *command, *options, cwd=ROOT, env=environment, start_new_session=True
    )
    limits = httpx.Limits(max_connections=REQUESTS, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30) as client:
        try:
            await _until_all_workers_answer(client, process)
            yield client
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _until_all_workers_answer(client, process):
    workers = set()
    async with asyncio.timeout(120):
        while len(workers) < WORKERS:
            assert process.returncode is None
            answers = await asyncio.gather(*(client.get("/worker") for _ in range(20)), return_exceptions=True)
            workers |= {answer.headers["Worker"] for answer in answers if isinstance(answer, httpx.Response)}


async def test_exactly_the_limit_passes_all_workers_together_and_no_spoofed_request_does(environment):
    async with serving(environment) as client:
        start = time.monotonic()
        answers = await at_once(client, [{}] * REQUESTS)
        assert Counter(answer.status_code for answer in answers) == {200: 10, 429: REQUESTS - 10}
        assert len({answer.headers["Worker"] for answer in answers}) == WORKERS
        spoofed = await at_once(client, [made_up(number) for number in range(SPOOFED)])
        # Every six seconds there is room for one more, whomever it is from.
        room = int((time.monotonic() - start) // 6)
    assert sum(answer.status_code == 200 for answer in spoofed) <= room


async def at_once(client, requests):
    at = time.time() + 1.5
    return await asyncio.gather(*(client.get("/limited", params={"at": at}, headers=headers) for headers in requests))


def made_up(number):
    names = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X_Forwarded_For", "True-Client-IP")
    name, address = names[number % len(names)], f"203.0.113.{number}"
    return {name: f"for={address}" if name == "Forwarded" else address}
