"""Messages within this process: to the subscribers of all its event loops, at once."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Self

from daf_views.streaming.broadcast.backends.base import Backend

if TYPE_CHECKING:
    from daf_views.settings import Settings
    from daf_views.streaming.broadcast.backends.base import Receiver


class MemoryBackend(Backend):
    """For one process, and for tests. Subscribers in other processes receive nothing."""

    is_shared: ClassVar[bool] = False
    carrier: ClassVar[str] = "the memory of the process"
    max_bytes: ClassVar[int] = 1024 * 1024

    def __init__(self) -> None:
        self._receivers: dict[Receiver, asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()  # event loops of several threads may send

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:  # noqa: ARG003 - it has none
        """Return one."""
        return cls()

    async def asend(self, channel: str, message: str) -> None:
        """Deliver the message, before this returns on the running event loop."""
        self._send(channel, message, asyncio.get_running_loop())

    def send(self, channel: str, message: str) -> None:
        """Have the message delivered by the event loops that receive."""
        self._send(channel, message, None)

    def _send(self, channel: str, message: str, here: asyncio.AbstractEventLoop | None) -> None:
        with self._lock:
            receivers = list(self._receivers.items())
        for receiver, loop in receivers:
            if loop is here:
                receiver.deliver(channel, message)
            else:
                with suppress(RuntimeError):  # that loop has been closed, and its subscribers with it
                    loop.call_soon_threadsafe(receiver.deliver, channel, message)

    async def receive(self, receiver: Receiver) -> None:
        """Receive until the task is cancelled."""
        with self._lock:
            self._receivers[receiver] = loop = asyncio.get_running_loop()
        receiver.connected()
        try:
            await loop.create_future()
        finally:
            with self._lock:
                del self._receivers[receiver]
