"""Messages by PostgreSQL's NOTIFY, which sends them with the COMMIT; each process that subscribes has one LISTEN.

All channels of DAF are one channel of PostgreSQL: a subscription needs no statement, and a name may be longer than 63
bytes. A notification is the channel, a space and the message, so that a trigger can send one, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from daf_orm import cursor, notifications
from daf_orm.settings import get_settings as get_orm_settings
from daf_views.streaming.broadcast.backends.base import Backend

if TYPE_CHECKING:
    from daf_views.settings import Settings
    from daf_views.streaming.broadcast.backends.base import Receiver

MAX_CHANNEL_BYTES = 63
_SEND = "SELECT pg_notify(%s, %s)"


class PostgreSQLBackend(Backend):
    """Messages through the database ``alias``. A process that publishes only needs no connection beside the pool."""

    carrier: ClassVar[str] = "PostgreSQL's NOTIFY"
    max_bytes: ClassVar[int] = 7999  # PostgreSQL's NOTIFY_PAYLOAD_MAX_LENGTH is 8000, with a zero at the end

    def __init__(self, alias: str = DEFAULT_DB_ALIAS, *, name: str = "daf-broadcast") -> None:
        self._alias = alias
        self._name = name

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one for the alias in ``BROADCAST_LOCATION``, or the default one."""
        alias, name = settings.BROADCAST_LOCATION or DEFAULT_DB_ALIAS, settings.BROADCAST_PREFIX
        if alias not in connections:
            raise ImproperlyConfigured(f"DAF_VIEWS['BROADCAST_LOCATION']: there is no database {alias!r}.")
        if connections[alias].vendor != "postgresql":
            raise ImproperlyConfigured(
                f"DAF_VIEWS['BROADCAST_BACKEND'] is 'postgresql', and the database {alias!r} is not. Name one that "
                "is in DAF_VIEWS['BROADCAST_LOCATION'], or use 'redis'."
            )
        if get_orm_settings().SERVER_POOLED:
            raise ImproperlyConfigured(
                "DAF_VIEWS['BROADCAST_BACKEND'] is 'postgresql', which listens on a session, and with "
                "DAF_ORM['SERVER_POOLED'] each transaction has another one. Use 'redis'."
            )
        if not 0 < len(name.encode()) <= MAX_CHANNEL_BYTES or "\0" in name:
            raise ImproperlyConfigured(
                f"DAF_VIEWS['BROADCAST_PREFIX'] is the name of a channel of PostgreSQL: 1 to {MAX_CHANNEL_BYTES} bytes."
            )
        return cls(alias, name=name)

    def size_of(self, channel: str, message: str) -> int:
        """Count the channel and the space, too."""
        return len(channel) + 1 + len(message)

    def commits_with(self, using: str) -> bool:
        """Return True for its own database."""
        return using == self._alias

    async def asend(self, channel: str, message: str) -> None:
        """Send a message by a statement, in the transaction around if there is one."""
        async with cursor(self._alias) as cur:
            await cur.execute(_SEND, [self._name, f"{channel} {message}"])

    def send(self, channel: str, message: str) -> None:
        """Do the same on the connection of this thread."""
        with connections[self._alias].cursor() as cur:
            cur.execute(_SEND, [self._name, f"{channel} {message}"])

    async def receive(self, receiver: Receiver) -> None:
        """Listen on a connection beside the pool."""
        async with notifications(self._name, using=self._alias) as arriving:
            receiver.connected()
            async for notification in arriving:
                channel, _, message = notification.payload.partition(" ")
                receiver.deliver(channel, message)
