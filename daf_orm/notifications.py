"""PostgreSQL's notifications as an asynchronous iterator: ``async with notifications("channel") as arriving:``."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Self

from django.db import DEFAULT_DB_ALIAS, InterfaceError, NotSupportedError, connections

from daf_orm.databases import database_of
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from daf_orm.databases.base import Listener

MAX_CHANNEL_BYTES = 63
"""PostgreSQL's limit on identifiers; it truncates longer ones silently."""


class Notification(NamedTuple):
    """A notification sent by ``NOTIFY channel, 'payload'``."""

    channel: str
    payload: str
    pid: int
    """The server process of the session that sent it."""


@contextlib.asynccontextmanager
async def notifications(*channels: str, using: str = DEFAULT_DB_ALIAS) -> AsyncIterator[AsyncIterator[Notification]]:
    """Listen to channels; notifications sent after the block has begun arrive in the iterator, in the order of commits.

    ``async with notifications("orders") as arriving: async for notification in arriving: …``

    The block has its own connection beside the pool, and waits for it on the event loop, also where queries run on
    threads. If that connection is lost, OperationalError is raised. Notifications sent meanwhile are then lost: listen
    again, and then query the rows that they are about once.

    Raises NotSupportedError on other databases than PostgreSQL, and without psycopg 3; InterfaceError where
    ``SERVER_POOLED`` is set, since a proxy's sessions cannot listen; ValueError for a name that is no channel's.

    Source: PostgreSQL's LISTEN; :meth:`psycopg.AsyncConnection.notifies`.
    """
    wrapper = connections[using]
    database = database_of(wrapper)
    if not channels:
        raise ValueError("notifications() needs at least one channel name.")
    if wrong := [name for name in channels if not name or "\0" in name or len(name.encode()) > MAX_CHANNEL_BYTES]:
        raise ValueError(f"A channel's name has 1 to {MAX_CHANNEL_BYTES} bytes, none of them 0; got {wrong[0]!r}.")
    if get_settings().SERVER_POOLED and database.can_be_pooled_by_server:
        raise InterfaceError(
            f"LISTEN on {using!r} needs a session, and DAF_ORM['SERVER_POOLED'] says that each transaction has another "
            "one. Give notifications() an alias that bypasses the proxy."
        )
    listener = await database.listen(wrapper, channels)
    if listener is None:
        raise NotSupportedError(f"{using!r} cannot listen to notifications: that needs PostgreSQL and psycopg 3.")
    try:
        yield _Arriving(listener)
    finally:
        await listener.aclose()


class _Arriving:
    """An iterator that survives a cancelled wait: the next wait returns the notifications that arrived meanwhile."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._heard: deque[tuple[str, str, int]] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Notification:
        while not self._heard:
            self._heard.extend(await self._listener.hear())
        return Notification(*self._heard.popleft())
