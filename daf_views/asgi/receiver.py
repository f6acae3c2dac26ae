"""The client of one request, as ASGI shows it: it sends a body, and it may hang up.

Both arrive through one ``receive()``, so one object owns it. A reader of the body has priority; while there is none,
a listener waits for ``http.disconnect``. It is started late, by the event loop's next turn, because most requests are
answered before that and then never pay for the task.

Source: the ASGI HTTP specification, ``http.request`` and ``http.disconnect``.
"""

from __future__ import annotations

import asyncio
from typing import IO, TYPE_CHECKING, Any

from django.core.exceptions import RequestAborted
from django.http import UnreadablePostError

from daf_views._core.begun import Begun
from daf_views.asgi.body import SpooledBody
from daf_views.asgi.slots import Slot
from daf_views.exceptions import APIError
from daf_views.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Message = Mapping[str, Any]


_NOTHING_ARRIVES = asyncio.Event()
_SLOW = 0.05
"""Seconds after which a request whose body has not arrived gives its slot to another."""


class Receiver:
    """The client of the request that the current task answers.

    :meth:`watch` cancels that task when the client disconnects.

    ``expects_body``: it has announced one, for which there is a time limit.
    """

    is_answered = False
    """True once a response has begun to be sent, so that no other can be."""
    slot: Slot | None = None
    """Its slot among the requests in flight, if these are limited."""
    _received: Message | None = None
    """A part of the body that the listener received."""
    _body_ended = False
    _spoilt: Exception | None = None
    """The reason why the body cannot be had."""
    _handle: asyncio.Handle | None = None
    _listener: asyncio.Task[None] | None = None
    _arrived = _NOTHING_ARRIVES
    """Set when the listener has received a part of the body."""
    _cancelled_task = False
    _aborted = False
    _is_watching = False
    _is_overload = False
    _error: Exception | None = None

    def __init__(self, receive: Callable[[], Awaitable[Message]], *, expects_body: bool = False) -> None:
        self._receive = receive
        self._expects_body = expects_body
        self._task = asyncio.current_task()
        self._cancelled_before = self._task.cancelling() if self._task is not None else 0

    # The body

    async def body(self, limit: int | None = None) -> IO[bytes]:
        """Receive the body: in memory, and beyond ``FILE_UPLOAD_MAX_MEMORY_SIZE`` in a temporary file.

        Raises RequestDataTooBig once it has more than ``limit`` bytes, RequestAborted if the client hangs up, a 408 if
        the whole of it has not come within ``BODY_TIMEOUT`` seconds. While the client is slow, another request has the
        slot; raises ServiceUnavailableError if too many are.
        """
        if self._spoilt is not None:  # the rest of it is not the body
            raise self._spoilt
        body = SpooledBody(limit)
        try:
            received = Begun(self._receive_all(body))
            if not received.is_done:
                self._stop_waiting_to_listen()
                await (self._receive_in_time(received) if self._expects_body else received)
        except BaseException as error:
            self._stop_waiting_to_listen()
            interrupted = UnreadablePostError("Receiving the body was interrupted.")
            self._spoilt = error if isinstance(error, Exception) else interrupted
            await body.discard()
            raise
        body.file.seek(0)
        self.watch()
        return body.file

    async def late_body(self, limit: int | None = None) -> IO[bytes]:
        """Do the same for a request under way, which is cancelled if the client disconnects."""
        try:
            return await self.body(limit)
        except RequestAborted:
            self._cancel_task()
            if asyncio.current_task() is not self._task:
                raise  # a child of the request's task, which nothing may be awaiting
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return] # cancelled here

    async def _next_part(self) -> bytes:
        if self._listener is not None:  # it has asked for the next part, or learns that there is none
            await self._arrived.wait()
        message, self._received = self._received, None
        if message is None:
            message = await self._receive()
        if message["type"] == "http.disconnect":
            raise RequestAborted
        self._body_ended = not message.get("more_body", False)
        return message.get("body", b"")  # type: ignore[no-any-return]

    async def _receive_all(self, body: SpooledBody) -> None:
        while not self._body_ended:
            if part := await self._next_part():
                await body.add(part)

    async def _receive_in_time(self, received: Begun[None]) -> None:
        seconds, loop = get_settings().BODY_TIMEOUT, asyncio.get_running_loop()
        timeout, started = asyncio.timeout(None), loop.time()
        # Most bodies are there at once, so that one timer stands for both.
        slow = loop.call_later(min(_SLOW, seconds), self._note_slow_client, timeout, started + seconds)
        try:
            async with timeout:
                await received
        except TimeoutError as error:
            if not timeout.expired():
                raise
            if self._is_overload and self.slot is not None:
                raise self.slot.overload() from error
            raise APIError(
                f"The request body did not arrive within {seconds} s.", status=408, code="body_timeout"
            ) from error
        finally:
            slow.cancel()
        if self.slot is not None and not self.slot.is_held:
            await self.slot.take_again()

    def _note_slow_client(self, timeout: asyncio.Timeout, deadline: float) -> None:
        timeout.reschedule(deadline)
        if self.slot is not None and self.slot.is_held and not self.slot.give_back():
            self._is_overload = True
            timeout.reschedule(asyncio.get_running_loop().time())

    def abort(self) -> None:
        """Cancel the request's task: the server stops and has waited for it long enough."""
        if self._task is not None:
            self._aborted = True
            self._task.cancel()

    def was_aborted(self) -> bool:
        """Return True if the task was cancelled by :meth:`abort`, and for no other reason. Call it once, at the end."""
        return self._aborted and self._task is not None and self._task.uncancel() <= self._cancelled_before

    # Hanging up

    def client_disconnected(self) -> bool:
        """Return True if the task was cancelled because its client has left, and for no other reason.

        Call it once, at the end.

        Raises the error that ended the listener, if any.
        """
        if not (self._cancelled_task and self._task is not None):
            return False
        alone = self._task.uncancel() <= self._cancelled_before
        if self._error is not None:
            raise self._error
        return alone

    def watch(self) -> None:
        """Cancel the request's task when the client hangs up, from the event loop's next turn on."""
        self._is_watching = True
        if self._handle is None and (self._listener is None or self._listener.done()):
            self._handle = asyncio.get_running_loop().call_soon(self._start_listening)

    def unwatch(self) -> None:
        """Leave the task alone from here on."""
        self._is_watching = False
        self._stop_waiting_to_listen()
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None

    def _stop_waiting_to_listen(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _start_listening(self) -> None:
        self._handle, self._arrived = None, asyncio.Event()
        self._listener = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        try:
            message = await self._receive()
            if message["type"] == "http.request" and not self._body_ended:
                self._received = message  # for the reader of the body
                self._arrived.set()
                if message.get("more_body", False):
                    return  # not asked for more, so the client is held back
                message = await self._receive()
            if message["type"] != "http.disconnect":
                raise AssertionError(f"Invalid ASGI message after request body: {message['type']}")
        except Exception as error:  # noqa: BLE001 - raised by the handler, in the request's own task
            self._error = error
        finally:
            self._arrived.set()
        if self._is_watching:
            self._cancel_task()

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._cancelled_task = True
            self._task.cancel()
