"""The servers in use: accepted requests are answered when a server is told to stop."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

APPLICATION = "tests.support.served:application"
SERVERS = {
    "uvicorn": ["uvicorn", "{application}", "--port", "{port}"],
    "granian": ["granian", "{application}", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}"],
    "hypercorn": ["hypercorn", "{application}", "--bind", "127.0.0.1:{port}"],
    "daphne": ["daphne", "{application}", "-b", "127.0.0.1", "-p", "{port}"],
}
pytestmark = pytest.mark.sqlite_memory  # the served site has its own database
with_lifespan = pytest.mark.parametrize("name", ["uvicorn", "granian", "hypercorn"])
ROOT = Path(__file__).parents[3]
ACCEPTED = 20


class Running:
    """A server in a separate process."""

    def __init__(self, process, port: int) -> None:
        self.process = process
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30)

    async def answers(self, path: str) -> str | None:
        try:
            return (await self.client.get(path)).text
        except httpx.TransportError:
            return None

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def output(self) -> str:
        output, _ = await asyncio.wait_for(self.process.communicate(), 30)
        return output.decode()


@asynccontextmanager
async def serving(name: str, application: str = APPLICATION):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program, *options = (part.format(port=port, application=application) for part in SERVERS[name])
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / program,
        *options,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    running = Running(process, port)
    try:
        while await running.answers("/livez") != "ok":
            assert process.returncode is None, await running.output()
            await asyncio.sleep(0.05)
        yield running
    finally:
        await running.client.aclose()
        if process.returncode is None:
            process.kill()
            await process.wait()


@with_lifespan
async def test_requests_that_were_accepted_are_answered_after_sigterm(name):
    async with serving(name) as server:
        requests = [asyncio.create_task(server.client.get("/slow?seconds=1")) for _ in range(ACCEPTED)]
        while await server.answers("/accepted") != str(ACCEPTED):
            await asyncio.sleep(0.01)
        server.terminate()
        answers = await asyncio.gather(*requests)
        assert [(answer.status_code, answer.text) for answer in answers] == [(200, "answered")] * ACCEPTED
        output = await server.output()
    assert "hook: started" in output
    assert "hook: stopped, 0 in flight, pool closed: False" in output


@pytest.mark.parametrize("name", ["uvicorn", "granian"])  # Hypercorn does not tell its workers, and cuts streams off
async def test_an_endless_stream_ends_when_the_server_is_told_to_stop(name):
    async with serving(name) as server, server.client.stream("GET", "/endless") as stream:
        lines = stream.aiter_lines()
        while not (await anext(lines)).startswith("data:"):
            pass
        server.terminate()
        rest = [line async for line in lines]  # raises if the response is cut off
        assert "hook: stopped" in await server.output()
    assert any(line.startswith("retry:") for line in rest)


async def test_a_server_without_lifespan_works_and_is_named_in_the_log_once():
    async with serving("daphne") as server:
        assert await server.answers("/slow?seconds=0") == "answered"
        assert await server.answers("/slow?seconds=0") == "answered"
        server.terminate()
        output = await server.output()
    # Once per handler: Daphne's own log repeats each line that reaches the root logger.
    assert output.count("\nThe server does not support the ASGI lifespan protocol") == 1
    assert "hook: started" not in output
