"""The subscriptions of one event loop. They share one connection, opened for the first and closed with the last."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from daf_views._core.drain import current_drain
from daf_views.streaming.broadcast.backends import get_backend
from daf_views.streaming.broadcast.connection import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from daf_views.streaming.broadcast.subscription import Subscription


class Hub:
    """Hands the messages of a connection on to the subscriptions of one event loop."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._connection: Connection | None = None
        self._users = 0
        """Blocks of :meth:`subscribed`, also those that wait for the connection."""

    @asynccontextmanager
    async def subscribed(self, subscription: Subscription) -> AsyncIterator[None]:
        """Offer a subscription the messages of its channel, from when the block begins until it is left."""
        if current_drain().requested:
            subscription.end()
            yield
            return
        self._users += 1
        try:
            if self._connection is None:
                self._connection = Connection(get_backend(), self)
            await self._connection.wait_until_open()
            # Only now: a subscription that begins with the connection has missed nothing.
            self._subscriptions.setdefault(subscription.channel, set()).add(subscription)
            if current_drain().requested:
                subscription.end()
            yield
        finally:
            self._discard(subscription)
            self._users -= 1
            if not self._users and self._connection is not None:
                connection, self._connection = self._connection, None
                await connection.aclose()

    def deliver(self, channel: str, message: str) -> None:
        """Offer a message to the subscriptions of its channel. Raises ValueError if it is not JSON."""
        if subscriptions := self._subscriptions.get(channel):
            json.loads(message)  # other programs may publish, too
            for subscription in subscriptions:
                subscription.offer(message)

    def mark_gaps(self) -> None:
        """Tell all subscriptions that messages may have been lost."""
        for subscription in self._all():
            subscription.mark_gap()

    def end(self) -> None:
        """End all subscriptions: the server drains."""
        for subscription in self._all():
            subscription.end()

    def _all(self) -> list[Subscription]:
        return [each for subscriptions in self._subscriptions.values() for each in subscriptions]

    def _discard(self, subscription: Subscription) -> None:
        others = self._subscriptions.get(subscription.channel, set())
        others.discard(subscription)
        if not others:
            self._subscriptions.pop(subscription.channel, None)


_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def current_hub() -> Hub:
    """Return the running event loop's hub."""
    loop = asyncio.get_running_loop()
    if (hub := _hubs.get(loop)) is None:
        for closed in [each for each in _hubs if each.is_closed()]:
            del _hubs[closed]
        hub = _hubs[loop] = Hub()
    return hub
