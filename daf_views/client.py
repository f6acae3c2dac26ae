"""The client of one request, as ASGI shows it: it sends a body, and it may hang up.

Both arrive through one ``receive()``, so one object owns it. Whoever wants the body gets it first; while nobody does,
a listener waits for ``http.disconnect``. It is started late, by the event loop's next turn, because most requests are
answered before that and then never pay for the task.

Source: the ASGI HTTP specification, ``http.request`` and ``http.disconnect``.
"""

from __future__ import annotations

import asyncio
import tempfile
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import RequestAborted, RequestDataTooBig
from django.http import UnreadablePostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Message = Mapping[str, Any]


class Client:
    """Who sent the request that the creating task answers, and is cancelled by :meth:`watch` when it hangs up."""

    __slots__ = (
        "_body_ended",
        "_cancelled_before",
        "_cancelled_task",
        "_error",
        "_handle",
        "_listener",
        "_receive",
        "_received",
        "_spoilt",
        "_task",
    )

    def __init__(self, receive: Callable[[], Awaitable[Message]]) -> None:
        self._receive = receive
        self._task = asyncio.current_task()
        self._received: Message | None = None
        """A part of the body that the listener came upon."""
        self._body_ended = False
        self._spoilt: Exception | None = None
        """Why the body cannot be had any more."""
        self._handle: asyncio.Handle | None = None
        self._listener: asyncio.Task[None] | None = None
        self._cancelled_before = self._task.cancelling() if self._task is not None else 0
        self._cancelled_task = False
        self._error: Exception | None = None

    # The body

    async def body(self, limit: int | None = None) -> IO[bytes]:
        """Receive the body: in memory, and beyond ``FILE_UPLOAD_MAX_MEMORY_SIZE`` in a temporary file.

        Raises RequestDataTooBig once it has more than ``limit`` bytes, RequestAborted if the client hangs up.
        """
        if self._spoilt is not None:  # what is left of it is not the body
            raise self._spoilt
        file: IO[bytes] = BytesIO()
        size = 0
        try:
            while not self._body_ended:
                chunk = await self._chunk()
                if not chunk:
                    continue
                size += len(chunk)
                if limit is not None and size > limit:
                    raise RequestDataTooBig(f"The request's body has more than {limit} bytes.")
                file = await _append(file, chunk, size)
        except BaseException as error:
            file.close()
            self._spoilt = (
                error if isinstance(error, Exception) else UnreadablePostError("Receiving it was interrupted.")
            )
            raise
        file.seek(0)
        self.watch()
        return file

    async def late_body(self, limit: int | None = None) -> IO[bytes]:
        """Do the same for a request under way: if the client hangs up, that is cancelled as at any other time."""
        try:
            return await self.body(limit)
        except RequestAborted:
            self._cancel_task()
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return] # cancelled here

    async def _chunk(self) -> bytes:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._listener is not None:  # it has asked for the next part, or learns that there is none
            await asyncio.wait([self._listener])
            self._listener = None
        message = self._received or await self._receive()
        self._received = None
        if message["type"] == "http.disconnect":
            raise RequestAborted
        self._body_ended = not message.get("more_body", False)
        return message.get("body", b"")  # type: ignore[no-any-return]

    def abort(self) -> None:
        """Cancel the request's task: the server stops and has waited for it long enough."""
        if self._task is not None:
            self._task.cancel()

    # Hanging up

    def was_the_one_to_cancel(self) -> bool:
        """Whether a CancelledError that the task caught means that its client has left, and nothing else.

        Raises what the listener died of, if it did.
        """
        if not (self._cancelled_task and self._task is not None):
            return False
        alone = self._task.uncancel() <= self._cancelled_before
        if self._error is not None:
            raise self._error
        return alone

    def watch(self) -> None:
        """Cancel the request's task when the client hangs up, from the event loop's next turn on."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_soon(self._start_listening)

    def unwatch(self) -> None:
        """Leave the task alone from here on."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def _start_listening(self) -> None:
        self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        try:
            message = await self._receive()
            if message["type"] == "http.request" and not self._body_ended:
                self._received = message  # for whoever wants the body; not asked for more, so the client is held back
                return
            if message["type"] != "http.disconnect":
                raise AssertionError(f"Invalid ASGI message after request body: {message['type']}")
        except Exception as error:  # noqa: BLE001 - raised by the handler, in the request's own task
            self._error = error
        if self._listener is not None:
            self._cancel_task()

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._cancelled_task = True
            self._task.cancel()


async def _append(file: IO[bytes], chunk: bytes, size: int) -> IO[bytes]:
    if isinstance(file, BytesIO) and size <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
        file.write(chunk)
        return file
    return await sync_to_async(_append_to_disk, thread_sensitive=False)(file, chunk)


def _append_to_disk(file: IO[bytes], chunk: bytes) -> IO[bytes]:
    if isinstance(file, BytesIO):
        before, file = file, tempfile.TemporaryFile()  # noqa: SIM115 - closed with the request
        file.write(before.getbuffer())
    file.write(chunk)
    return file
