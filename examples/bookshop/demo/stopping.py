"""The end of the smoke run: the server is told to stop while it has work in hand."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import Any

from demo.listening import PATIENCE_SECONDS, listen
from demo.server import HOST, STOP_SECONDS, STOPPED, Server
from demo.shelf import Shelf
from demo.transcript import Transcript


async def stopping(say: Transcript, server: Server, shelf: Shelf) -> None:
    """With a stream open and half an order received: the stream ends, the order is answered, the server ends."""
    say.section("SIGTERM, with a listener and an order on its way")
    order = HalfSent("/orders/", shelf.order((shelf.common, 3)))
    async with listen(say.client) as stream:
        await order.send_first_half(server.port)
        started = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        ending = await stream.ending()
        say.note(f"the last of the stream: {ending[-1]}")
        say.expect("retry" in ending[-1], "the listener is told when to come back, and its stream is complete")
    status, answer = await order.send_second_half()
    say.note(f"{status} {json.dumps(answer)[:100]}")
    say.expect(status == 201 and answer["lines"][0]["quantity"] == 3, "the order is taken and answered")
    returncode = await asyncio.to_thread(server.process.wait, STOP_SECONDS)
    say.note(f"the server ended {time.perf_counter() - started:.1f} s after the signal, status {returncode}")
    say.expect(returncode in STOPPED, "the server ends in order")


class HalfSent:
    """A request whose client is slow: its body comes in two parts, on a separate connection."""

    def __init__(self, path: str, body: Any) -> None:
        self._body = json.dumps(body).encode()
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self._body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        ).encode()

    async def send_first_half(self, port: int) -> None:
        """Send the head, wait until the view asks for the body, and send ten bytes of it."""
        self._reader, self._writer = await asyncio.open_connection(HOST, port)
        self._writer.write(self._head)
        # RFC 9110 §10.1.1: uvicorn answers 100 when the application receives. From here on, the request is in flight.
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._reader.readuntil(b"100 Continue\r\n\r\n")
        self._writer.write(self._body[:10])
        await self._writer.drain()

    async def send_second_half(self) -> tuple[int, Any]:
        """Send the rest; return the status and the JSON of the answer."""
        self._writer.write(self._body[10:])
        head, _, body = (await self._reader.read()).partition(b"\r\n\r\n")
        self._writer.close()
        return int(head.split()[1]), json.loads(body)
