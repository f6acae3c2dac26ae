"""Real servers: identical requests in two processes, and one that is killed in between. One effect, one answer."""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from django.db import connection

from tests.support.servers import until_listening

ROOT = Path(__file__).parents[3]
KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
APPLICATION = "tests.views.idempotency.served:application"


def served_database():
    """The test's own, where other processes can reach it."""
    keys = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT")
    return {key: str(connection.settings_dict[key]) for key in keys}


@pytest.fixture
def environment(several_connections, tmp_path, transactional_db):
    served = {"DATABASES": {"default": served_database()}}
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    environment |= {"PYTHONPATH": str(ROOT), "SERVED_SETTINGS": json.dumps(served)}
    return environment | {"SERVED_KILLED": str(tmp_path / "killed")}


@asynccontextmanager
async def serving(environment, workers=1):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--log-level", "warning"] + (["--workers", str(workers)] if workers > 1 else [])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", APPLICATION, *options), cwd=ROOT, env=environment, start_new_session=True
    )
    limits = httpx.Limits(max_keepalive_connections=0)  # a new connection each time, for any worker
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30) as client:
        try:
            async with asyncio.timeout(50):
                await until_listening(port, process)
                await _until_they_answer(client, workers)
            yield client, process
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


async def _until_they_answer(client, workers):
    """The system decides which of them gets a request."""
    seen = set()
    while len(seen) < workers:
        answers = await asyncio.gather(*(client.get("/livez") for _ in range(4 * workers)))
        seen |= {answer.headers["Worker"] for answer in answers}
        await asyncio.sleep(0.02)  # another is still starting


async def order(client, path="/orders", **data):
    headers = KEY | {"Host": "127.0.0.1"}  # a key is one host's, and a server that is started again has another port
    return await client.post(path, json=data, headers=headers)


async def until_final(client, path="/orders", **data):
    """Do as a client does that is told to come later."""
    async with asyncio.timeout(30):
        while (answer := await order(client, path, **data)).status_code == 409:
            await asyncio.sleep(0.1)
    return answer


async def test_identical_requests_in_two_processes_have_one_effect_and_one_answer(environment, tmp_path):
    environment["SERVED_LEASE"] = "60"
    async with serving(environment, workers=2) as (client, _):
        data = {"until": str(tmp_path / "go on")}
        asked = [asyncio.create_task(order(client, **data)) for _ in range(40)]
        workers = set()
        async with asyncio.timeout(40):
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)  # so one of them has the key
            while len(workers) < 2:  # the system decides which of them gets a connection
                others = await asyncio.gather(*(order(client, **data) for _ in range(10)))
                workers |= {answer.headers["Worker"] for answer in others if answer.status_code == 409}
        await asyncio.to_thread((tmp_path / "go on").touch)
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} <= {201, 409}
        first = [answer for answer in answers if answer.status_code == 201]
        assert sum("Idempotency-Replayed" not in answer.headers for answer in first) == 1
        final = await asyncio.gather(*(until_final(client, **data) for _ in range(12)))
        assert {answer.status_code for answer in final} == {201}
        assert {answer.content for answer in final} == {first[0].content}
        assert (await client.get("/effects")).text == "1"


@pytest.mark.parametrize(
    ("place", "effects", "replays"),
    [
        ("claim", 0, False),  # between claim and effect
        ("handler", 0, False),
        ("effect", 0, False),  # between effect and answer
        ("done", 0, False),  # between answer and commit
        ("answer", 1, True),  # between commit and what the client sees
    ],
)
async def test_killed_in_between_the_retry_works_and_there_is_one_effect(environment, place, effects, replays):
    environment["SERVED_KILL"] = place
    async with serving(environment) as (client, process):
        with pytest.raises(httpx.TransportError):
            await order(client)
        assert await process.wait() == -signal.SIGKILL
    async with serving(environment) as (client, _):
        assert (await client.get("/effects")).text == str(effects)
        answer = await until_final(client)
        assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (201, replays)
        assert (await order(client)).content == answer.content
        assert (await client.get("/effects")).text == "1"


@pytest.mark.parametrize(("place", "in_the_end"), [("claim", 1), ("handler", 1), ("effect", 2), ("answer", 1)])
async def test_without_a_transaction_the_retry_works_too(environment, place, in_the_end):
    """As documented: killed between effect and answer, it has a second effect."""
    environment["SERVED_KILL"] = place
    async with serving(environment) as (client, process):
        with pytest.raises(httpx.TransportError):
            await order(client, "/apart")
        assert await process.wait() == -signal.SIGKILL
    async with serving(environment) as (client, _):
        assert (await until_final(client, "/apart")).status_code == 201
        assert (await client.get("/effects")).text == str(in_the_end)
