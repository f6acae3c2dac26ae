"""The connection on which the messages of all channels arrive, and its return after a loss.

It belongs to no request: neither a transaction nor a context variable of the first subscriber reaches its tasks.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import random
from typing import TYPE_CHECKING, Any, Protocol

from daf_views._core.cancellation import cancel_until_ended, shielded
from daf_views._core.drain import current_drain
from daf_views._core.logs import log
from daf_views.exceptions import BroadcastUnavailableError
from daf_views.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from daf_views.streaming.broadcast.backends import Backend

FIRST_DELAY = 0.25
"""Seconds before the first attempt to connect again; each one that fails doubles them."""
MAX_DELAY = 30.0
CLOSING = 5.0
"""Seconds that the connection may take to close."""


class Subscribers(Protocol):
    """The receivers of the messages."""

    def deliver(self, channel: str, message: str) -> None:
        """Take a message. Raises ValueError if it is none."""

    def mark_gaps(self) -> None:
        """Take note that messages may have been lost."""

    def end(self) -> None:
        """End: the server drains."""


class Connection:
    """Receives from a backend until it is closed. When the connection is lost, it is opened again after a delay."""

    def __init__(self, backend: Backend, subscribers: Subscribers) -> None:
        self._backend = backend
        self._subscribers = subscribers
        self._is_open = asyncio.Event()
        """Set while messages arrive, and when the server drains: there is nothing more to wait for."""
        self._was_lost = False
        self._is_closed = False
        self._has_reported = False
        self._delay = FIRST_DELAY
        self._tasks = [_start(self._receive(), "daf-broadcast"), _start(self._end_with_server(), "daf-broadcast-drain")]

    async def wait_until_open(self) -> None:
        """Wait until messages arrive. Raises BroadcastUnavailableError after ``BROADCAST_TIMEOUT`` seconds."""
        timeout = get_settings().BROADCAST_TIMEOUT
        try:
            async with asyncio.timeout(timeout):
                await self._is_open.wait()
        except TimeoutError:
            raise BroadcastUnavailableError(
                f"No connection for broadcasts within {timeout} s.", retry_after=get_settings().RETRY_AFTER
            ) from None

    def connected(self) -> None:
        """Note that every message which is sent from now on will be delivered: the backend calls this."""
        if self._is_closed:
            return
        if self._was_lost:
            self._subscribers.mark_gaps()
        self._was_lost, self._has_reported, self._delay = False, False, FIRST_DELAY
        self._is_open.set()

    def deliver(self, channel: str, message: str) -> None:
        """Take a message: the backend calls this, perhaps also when the connection has just been closed."""
        if self._is_closed:
            return
        try:
            if len(message) > self._backend.max_bytes:
                raise ValueError(f"It has {len(message):,} characters, which no channel sends.")
            self._subscribers.deliver(channel, message)
        except (ValueError, RecursionError) as error:
            self._report_once(channel, error)

    async def aclose(self) -> None:
        """Close the connection, however often the caller is cancelled meanwhile."""
        self._is_closed = True
        await shielded(cancel_until_ended(self._tasks, CLOSING))

    async def _receive(self) -> None:
        while True:
            try:
                await self._backend.receive(self)
                error = None
            except Exception as raised:  # noqa: BLE001 - an error of any driver: the next attempt may succeed
                error = raised
            self._is_open.clear()
            self._was_lost = True
            delay = self._delay * random.uniform(0.5, 1)  # noqa: S311 - so that processes take turns
            self._delay = min(2 * self._delay, MAX_DELAY)
            await log(
                logging.WARNING,
                "No broadcasts arrive from %s; the next attempt to connect is in %.1f s: %s",
                *(self._backend.carrier, delay, error),
            )
            await asyncio.sleep(delay)

    async def _end_with_server(self) -> None:
        await current_drain().wait()
        self._subscribers.end()
        self._is_open.set()

    def _report_once(self, channel: str, error: Exception) -> None:
        if not self._has_reported:
            self._has_reported = True
            report = log(
                logging.WARNING,
                "A message on the channel %.100r is not JSON, and was dropped (reported once a connection): %s",
                *(channel, error),
            )
            current_drain().keep(_start(report, "daf-broadcast-report"))


def _start(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work, name=name, context=contextvars.Context())
