"""A named channel: ``await stock.apublish({"book": 7})``, ``async with stock.subscribe() as messages``."""

from __future__ import annotations

import asyncio
import re
import weakref
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import SynchronousOnlyOperation
from django.db import DEFAULT_DB_ALIAS

from daf_orm import transaction
from daf_views._django.transactions import in_any_atomic_block, in_sync_atomic_block
from daf_views.exceptions import MessageTooLargeError
from daf_views.http.json import as_json
from daf_views.streaming.broadcast.backends import get_backend
from daf_views.streaming.broadcast.hub import current_hub
from daf_views.streaming.broadcast.subscription import OVERFLOWS, Overflow, Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from daf_views.streaming.broadcast.backends import Backend

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")

channels: weakref.WeakSet[Channel] = weakref.WeakSet()
"""All of this process, for the system check."""


class Channel:
    """A channel of messages, which are JSON values. It opens nothing until there is a subscriber.

    ``name``: 1 to 100 letters, digits and ``_.:/-``. ``capacity``: messages that wait for each subscriber, at most.
    ``overflow``, for a subscriber that falls further behind: "disconnect" ends its subscription with
    SlowSubscriberError; "drop_oldest" drops messages, and puts a :class:`Gap` in their place. Raises ValueError for
    anything else.
    """

    def __init__(self, name: str, *, capacity: int = 100, overflow: Overflow = "disconnect") -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"A channel's name has 1 to 100 letters, digits and any of _.:/-, unlike {name!r}.")
        if capacity < 1:
            raise ValueError(f"capacity is a number of messages, 1 or more, not {capacity!r}.")
        if overflow not in OVERFLOWS:
            raise ValueError(f"overflow is one of {', '.join(map(repr, OVERFLOWS))}, not {overflow!r}.")
        self.name = name
        self.capacity = capacity
        self.overflow = overflow
        channels.add(self)

    async def apublish(self, message: Any, *, using: str = DEFAULT_DB_ALIAS) -> None:
        """Send a message to all subscribers; in an atomic block on the database ``using``, when it commits.

        A block of synchronous code that has called this by ``async_to_sync`` counts, too. A message of a block that
        rolls back is never sent. PostgreSQL sends its own with the COMMIT; with other backends a failure after the
        COMMIT is logged. Delivery is at most once, and in the order of publication by one process.

        Raises MessageTooLargeError, TypeError for a message that is not JSON, and outside a transaction
        BroadcastUnavailableError if Redis does not take it within ``DAF_VIEWS["BROADCAST_TIMEOUT"]`` seconds.
        PostgreSQL raises what any statement of its connection raises.
        """
        backend = get_backend()
        send = partial(backend.asend, self.name, self._encoded(message, backend))
        if backend.commits_with(using) or not await in_any_atomic_block(using):
            await send()
        else:
            transaction.on_commit(send, using, robust=True)

    def publish(self, message: Any, *, using: str = DEFAULT_DB_ALIAS) -> None:
        """Do what :meth:`apublish` does, from synchronous code such as the admin, a signal or a command.

        Raises SynchronousOnlyOperation on an event loop.
        """
        if _is_on_event_loop():
            raise SynchronousOnlyOperation(
                f"publish() would block the event loop: `await channel.apublish(…)` on the channel {self.name!r}."
            )
        backend = get_backend()
        send = partial(backend.send, self.name, self._encoded(message, backend))
        if backend.commits_with(using) or not in_sync_atomic_block(using):
            send()
        else:
            transaction.on_commit(send, using, robust=True)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Subscription]:
        """Subscribe from here on, until the block is left: ``async for message in messages``.

        Raises BroadcastUnavailableError, which a view answers with 503, if the process cannot connect to the backend
        within ``DAF_VIEWS["BROADCAST_TIMEOUT"]`` seconds.
        """
        subscription = Subscription(self.name, capacity=self.capacity, overflow=self.overflow)
        async with current_hub().subscribed(subscription):
            yield subscription

    def _encoded(self, message: Any, backend: Backend) -> str:
        text = as_json(message)  # ASCII, whatever the encoding of a database
        if (size := backend.size_of(self.name, text)) > backend.max_bytes:
            raise MessageTooLargeError(
                f"A message for the channel {self.name!r} has {size:,} bytes, and {backend.carrier} carries "
                f"{backend.max_bytes:,} at most. Publish an id, and query the row where it is received."
            )
        return text


def _is_on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
