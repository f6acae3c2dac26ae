"""One registration of a connection's socket with an event loop, which lasts from wait to wait.

psycopg describes each exchange with the server as a generator, which yields the events it waits for. Here the event
loop's callbacks resume it, so that a round trip costs a task one wake-up, however many packets it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import socket
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")
_READ: Final = 1  # psycopg.waiting.WAIT_R and READY_R
_WRITE: Final = 2
_kinds_with_readers: set[type] = set()
"""Classes of event loops that watch sockets."""


def require_readers(loop: asyncio.AbstractEventLoop) -> None:
    """Raise ImproperlyConfigured if an event loop cannot watch a socket, as Windows' Proactor loop cannot."""
    if (kind := type(loop)) in _kinds_with_readers:
        return
    ours, other = socket.socketpair()
    with ours, other:
        try:
            loop.add_reader(ours, _nothing)
        except NotImplementedError as error:
            raise ImproperlyConfigured(
                f"The event loop {kind.__module__}.{kind.__qualname__} has no add_reader(), which ENGINE "
                "'daf_orm.backends.postgresql' needs to wait for its server. Use asyncio.SelectorEventLoop, or the "
                "engine 'django.db.backends.postgresql', whose calls run on threads."
            ) from error
        loop.remove_reader(ours)
    _kinds_with_readers.add(kind)


class Exchange(Generic[T]):
    """One of psycopg's generators, and its outcome.

    It stands on the stack of the code that waits, where the garbage collector does not look. So it refers weakly to the
    registration that wakes its task. The event loop keeps that for as long as it watches the socket.
    """

    has_happened = False
    _result: T | None = None
    _error: BaseException | None = None
    _find_readiness: Callable[[], Readiness | None] | None = None

    def __init__(self, generator: Generator[Any, Any, T], wants: int) -> None:
        self.wants = wants
        """The events it waits for, as psycopg's flags."""
        self._generator = generator

    def renew_future(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a new future, which is done when the exchange has happened."""
        future = loop.create_future()
        if (readiness := self._readiness()) is not None:
            readiness.waiter = future
        return future

    def begin_at(self, find_readiness: Callable[[], Readiness | None]) -> None:
        """Remember, by a weak reference, the registration that will resume it."""
        self._find_readiness = find_readiness

    def _readiness(self) -> Readiness | None:
        return None if self._find_readiness is None else self._find_readiness()

    def advance(self, ready: int) -> None:
        """Resume the generator. On the event loop."""
        try:
            self.wants = self._generator.send(ready)
        except StopIteration as end:
            self._end(end.value, None)
        except BaseException as error:  # noqa: BLE001 - the code that waits raises it
            self._end(None, error)

    def fail(self, error: BaseException) -> None:
        """End it with an error, in any state of the generator."""
        if not self.has_happened:
            self._end(None, error)

    def result(self) -> T:
        """Return the generator's result, or raise its error."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback has this frame
        return self._result  # type: ignore[return-value]

    def _end(self, result: T | None, error: BaseException | None) -> None:
        self._result, self._error = result, error
        self.has_happened = True
        if (readiness := self._readiness()) is not None:
            readiness.end()


class Readiness:
    """A socket's registration with a loop, which owns it: without the loop it ends.

    It watches a duplicate of the descriptor: a connection may be closed in any thread, and its number may at once be
    another socket's.
    """

    __slots__ = ("__weakref__", "_descriptor", "_exchange", "_is_reading", "_is_writing", "loop", "waiter")

    def __init__(self, descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._descriptor = os.dup(descriptor)
        self._exchange: Exchange[Any] | None = None
        self.waiter: asyncio.Future[None] | None = None
        """The future that wakes the task of the exchange."""
        self._is_reading = False
        self._is_writing = False

    def begin(self, exchange: Exchange[Any]) -> None:
        """Resume an exchange whenever the socket is ready, until it has ended."""
        self._exchange = exchange
        self._watch(exchange.wants)

    def end(self) -> None:
        """Forget the exchange, which has ended, and wake its task."""
        waiter = self.waiter
        self._exchange = self.waiter = None
        if self._is_writing:
            self._stop_writing()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def release(self, error: Exception) -> None:
        """End the registration, from any thread. An exchange under way fails with this error."""
        if asyncio._get_running_loop() is self.loop:  # noqa: SLF001 - the public function raises if there is none
            self._close(error)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and its registrations with it
                self.loop.call_soon_threadsafe(self._close, error)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _close(self, error: Exception) -> None:
        if self._descriptor < 0:
            return
        if self._exchange is not None:
            self._exchange.fail(error)
        if self._is_reading:
            self.loop.remove_reader(self._descriptor)
            self._is_reading = False
        if self._is_writing:
            self._stop_writing()
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def _watch(self, wants: int) -> None:
        if wants & _READ and not self._is_reading:
            # The callback outlives the task, whose context it must not keep.
            contextvars.Context().run(self.loop.add_reader, self._descriptor, self._on_readable)
            self._is_reading = True
        if not wants & _WRITE:
            if self._is_writing:
                self._stop_writing()
        elif not self._is_writing:
            contextvars.Context().run(self.loop.add_writer, self._descriptor, self._on_writable)
            self._is_writing = True

    def _stop_writing(self) -> None:
        self.loop.remove_writer(self._descriptor)
        self._is_writing = False

    def _on_readable(self) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.wants & _READ:
            # A thread uses the connection, or its server has sent a notice: the loop would call this again and again.
            self.loop.remove_reader(self._descriptor)
            self._is_reading = False
            return
        self._send_on(exchange, _READ)

    def _on_writable(self) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.wants & _WRITE:
            self._stop_writing()
            return
        self._send_on(exchange, _WRITE)

    def _send_on(self, exchange: Exchange[Any], ready: int) -> None:
        exchange.advance(ready)
        if not exchange.has_happened:
            self._watch(exchange.wants)


def _nothing() -> None:
    """Stand in for a callback."""
