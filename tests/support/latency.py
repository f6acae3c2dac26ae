"""A network between a program and its server: every byte arrives later, and round trips are counted."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 65536


class LatencyProxy:
    """Passes TCP connections on to a port of 127.0.0.1, with so many seconds of delay each way.

    It has a thread with an event loop: it serves clients that block. A round trip is counted when a client sends
    something after it has been answered, however many packets that has.
    """

    def __init__(self, server_port: int, *, delay: float = 0.0) -> None:
        self.port = 0
        """The port for clients, once it is entered."""
        self.round_trips = 0
        """Of all connections until now. Connecting has some, too."""
        self._server_port = server_port
        self._delay = delay
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="latency-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("The proxy does not listen.")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1")
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        is_answered = True

        def note_question() -> None:
            nonlocal is_answered
            self.round_trips += is_answered
            is_answered = False

        def note_answer() -> None:
            nonlocal is_answered
            is_answered = True

        both = [
            asyncio.create_task(self._pump(reader, back, note_question)),
            asyncio.create_task(self._pump(there, writer, note_answer)),
        ]
        try:
            await asyncio.wait(both)
        finally:
            for each in both:
                each.cancel()
            writer.close()
            back.close()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, note: Callable[[], None]) -> None:
        """Pass bytes on until the source ends, each when its time has come and in order."""
        arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1024)
        delivering = asyncio.create_task(self._deliver(arrived, target))
        with contextlib.suppress(ConnectionError):
            while chunk := await source.read(CHUNK):
                note()
                await arrived.put((self._loop.time() + self._delay, chunk))
        await arrived.put((self._loop.time() + self._delay, b""))
        await delivering

    async def _deliver(self, arrived: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
        while True:
            due, chunk = await arrived.get()
            await asyncio.sleep(due - self._loop.time())
            if not chunk:
                break
            target.write(chunk)
        target.close()
