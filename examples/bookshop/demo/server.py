"""The shop and its supplier, each in a separate process of uvicorn, on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

HOST = "127.0.0.1"
PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 30
STOP_SECONDS = 15
STOPPED = (0, -signal.SIGTERM)  # uvicorn ends in order, and then by the signal that asked it to
# Longer than clients keep an idle connection (5 s in httpx, as in uvicorn). With equal times a client may
# send on a connection that the server is closing at that moment, and is told "connection reset".
KEEP_ALIVE_SECONDS = 75


class ServerFailedError(RuntimeError):
    """The server did not start, with what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The running server."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"


@contextmanager
def serve(port: int) -> Iterator[Server]:
    """Run the bookshop on `port`, 0 for a free one; yields once it answers, stops it in the end."""
    with _running("bookshop.asgi:application", _free_port(port), path="/readyz") as server:
        yield server


@contextmanager
def supplier() -> Iterator[None]:
    """Run the supplier's price service for the bookshop, which is to be started within the block."""
    with _running("demo.prices:application", _free_port(0), path="/prices/9780000000002") as server:
        os.environ["BOOKSHOP_SUPPLIER_URL"] = server.url
        yield


@contextmanager
def _running(application: str, port: int, *, path: str) -> Iterator[Server]:
    server = Server(port=port, process=subprocess.Popen(_command(application, port), cwd=PROJECT))
    try:
        _wait_until_it_answers(server, path)
        yield server
    finally:
        _stop(server.process)


def _command(application: str, port: int) -> list[str]:
    address = f"--host {HOST} --port {port} --log-level warning"
    # Uvicorn would trust every X-Forwarded-For from this machine. TRUSTED_PROXIES decides instead.
    address += " --no-proxy-headers"
    times = f"--timeout-keep-alive {KEEP_ALIVE_SECONDS} --timeout-graceful-shutdown 5"
    return [sys.executable, "-m", "uvicorn", application, *f"{address} {times}".split()]


def _free_port(port: int) -> int:
    """`port`, or a free one for 0; checked now, as another server there would answer in our place."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            message = f"Port {port} is taken ({error.strerror}). Pass another --port, or none."
            raise ServerFailedError(message) from error
        return int(probe.getsockname()[1])


def _wait_until_it_answers(server: Server, path: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise ServerFailedError(f"Uvicorn ended with status {server.process.returncode}; its message is above.")
        # trust_env=False: a proxy from the environment has no business between us and loopback.
        with suppress(httpx.TransportError):
            httpx.get(f"{server.url}{path}", trust_env=False, timeout=5)
            return
        time.sleep(0.05)
    raise ServerFailedError(f"Nothing answered at {server.url} within {START_SECONDS} s.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to finish what it is doing; kill it when it does not."""
    if process.poll() is not None:
        if process.returncode not in STOPPED:
            print(f"Uvicorn ended unexpectedly, with status {process.returncode}.", file=sys.stderr)
        return
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
