"""A request to an ASGI application in the same process: everything a server does but the network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Application = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as a server reads it."""

    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    """In lower case."""
    body: bytes = b""


async def get(application: Application, path: str) -> int:
    """Send a GET request in a new task, as servers do; return the status."""
    status, _ = await ask(application, Request(path=path))
    return status


async def ask(application: Application, request: Request) -> tuple[int, bytes]:
    """Send a request in a new task, as servers do; return the status and the body."""
    return await asyncio.create_task(_ask(application, request))


class Lifespan:
    """Lets an application start up and shut down as servers do. One that knows no lifespan is left alone."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it up. Raises RuntimeError if it says that this failed."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._task = asyncio.create_task(self._application(scope, self._orders.get, self._answers.put))
        await self._tell("startup")

    async def stop(self) -> None:
        """Shut it down."""
        await self._tell("shutdown")

    async def _tell(self, order: str) -> None:
        assert self._task is not None
        self._orders.put_nowait({"type": f"lifespan.{order}"})
        answered = asyncio.create_task(self._answers.get())
        await asyncio.wait([self._task, answered], return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            answered.cancel()
            self._task.exception()  # an application that knows no such scope raises
        elif (answer := answered.result())["type"].endswith(".failed"):
            raise RuntimeError(answer.get("message", f"its {order} failed"))


async def _ask(application: Application, request: Request) -> tuple[int, bytes]:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": request.body, "more_body": False}]
    status, parts = 0, []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        return await asyncio.get_running_loop().create_future()  # the client stays to the end

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await application(_scope(request), receive, send)
    return status, b"".join(parts)


def _scope(request: Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"testserver"), *[(name.encode(), value.encode()) for name, value in request.headers]],
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
