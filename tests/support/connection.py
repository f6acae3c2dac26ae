"""A client's side of one ASGI connection, step by step: send a part of the body, hang up, look at what has come."""

import asyncio

from tests.support.exchange import Exchange, scope


class Connection:
    """A request under way in a separate task, as a server would run it."""

    def __init__(self, application, **request) -> None:
        self.answer = Exchange()
        self.started = asyncio.Event()
        """Set when the response begins."""
        self.received = 0
        """The number of times that the application has asked for a message."""
        self._messages: asyncio.Queue = asyncio.Queue()
        self.task = asyncio.create_task(application(scope(**request), self._receive, self._send))

    def send(self, body=b"", *, more=False) -> None:
        self._messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def hang_up(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def _receive(self):
        self.received += 1
        return await self._messages.get()

    async def _send(self, message) -> None:
        await self.answer.receive_from(message)
        self.started.set()
