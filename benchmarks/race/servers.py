"""Real servers on loopback, one process that serves each, without an access log."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from benchmarks.asgi_client import Request
from benchmarks.processes import ROOT
from benchmarks.race.contenders import POOL_SIZE, Contender
from benchmarks.race.databases import Database
from benchmarks.race.environments import python_of

START_SECONDS = 60.0
STOP_SECONDS = 15.0
_BUILD = "benchmarks.race.serving:build"
_COMMANDS = {
    "uvicorn": f"-m uvicorn --factory {_BUILD} --host 127.0.0.1 --port {{port}} --no-access-log --log-level error",
    "granian": (
        f"-m granian --factory --interface asgi --host 127.0.0.1 --port {{port}} --workers 1 --loop uvloop "
        f"--no-access-log --log-level error {_BUILD}"
    ),
    "gunicorn": (
        f"-m gunicorn --bind 127.0.0.1:{{port}} --workers 1 --worker-class gthread --threads {POOL_SIZE} "
        f"--worker-connections 2000 --log-level error {_BUILD}()"
    ),
    "runbolt": "-m benchmarks.race.runbolt {port}",
}


class DidNotStartError(RuntimeError):
    """A server ended, or did not answer in time; the message has the end of its output."""


@contextmanager
def serve(contender: Contender, server: str, database: Database, *, middleware: bool) -> Iterator[tuple[int, int]]:
    """Start a server and wait until it answers; yield its process's id and its port. Raises DidNotStartError."""
    race = {"contender": contender.name, "database": dict(database), "middleware": middleware}
    environment = {"RACE": json.dumps(race), "RACE_MIDDLEWARE": "1" if middleware else ""}
    port = _free_port()
    command = [python_of(contender.environment), *_COMMANDS[server].format(port=port).split()]
    with TemporaryFile() as output, _process(command, environment, output) as process:
        _wait_until_it_answers(process, port, output)
        yield process.pid, port


def ask(port: int, request: Request) -> tuple[int, str]:
    """Send a request; return the status and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        headers = {name: value for name, value in request.headers if name != "content-length"}
        connection.request(request.method, request.path, body=request.body or None, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@contextmanager
def _process(
    command: list[Path | str], environment: Mapping[str, str], output: Any
) -> Iterator[subprocess.Popen[bytes]]:
    inherited = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    process = subprocess.Popen(command, cwd=ROOT, env=inherited | environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, output: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, http.client.HTTPException):
            ask(port, Request(path="/hello"))
            return
        time.sleep(0.05)
    output.seek(0)
    said = " ".join(output.read().decode(errors="replace").split())
    raise DidNotStartError(f"the server did not start: {said[-300:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
