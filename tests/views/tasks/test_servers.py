"""SIGTERM at any moment, on the servers people use: each task that was accepted has run once, or is in the log."""

import asyncio
import os
import random
import re

import httpx
import pytest

from tests.scenarios.views.test_servers import serving as serving_application
from tests.scenarios.views.test_servers import with_lifespan

ROUNDS = int(os.environ.get("DAF_SIGTERM", "2"))
pytestmark = [
    pytest.mark.sqlite_memory,
    pytest.mark.timeout(60 + 10 * ROUNDS),
]  # the served site has its own database


@with_lifespan
@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_every_task_that_was_accepted_runs_once_or_is_named(name, seed, tmp_path, monkeypatch):
    done = tmp_path / "done"
    done.touch()
    monkeypatch.setenv("SERVED_DONE", str(done))
    accepted, numbers, has_begun = {}, iter(range(10_000)), asyncio.Event()

    async def enqueue(server):
        for number in numbers:
            try:
                answer = await server.client.get("/enqueue", params={"number": number})
            except httpx.TransportError:
                return  # the server takes no more
            if answer.status_code == 200:
                accepted[str(number)] = answer.text
                has_begun.set()

    async with serving_application(name, "tests.views.tasks.served:application") as server:
        clients = [asyncio.create_task(enqueue(server)) for _ in range(3)]
        await has_begun.wait()
        await asyncio.sleep(random.Random(seed).uniform(0, 0.5))
        server.terminate()
        output = await server.output()
        await asyncio.gather(*clients)
    finished = (await asyncio.to_thread(done.read_text)).split()
    named = set(re.findall(r"served\.work\(#0\), id (\w+)\.", output))
    assert len(finished) == len(set(finished))
    assert {result for number, result in accepted.items() if number not in finished} <= named
    assert accepted
