"""Messages by PUBLISH of Redis or Valkey, on one connection that subscribes and one that publishes.

Needs the extra ``redis``.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Self

import redis
from django.core.exceptions import ImproperlyConfigured
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from daf_views._core.cancellation import in_time
from daf_views._core.drain import current_drain
from daf_views.exceptions import BroadcastUnavailableError, ShuttingDownError
from daf_views.settings import get_settings
from daf_views.streaming.broadcast.backends.base import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from daf_views.settings import Settings
    from daf_views.streaming.broadcast.backends.base import Receiver

PING_INTERVAL = 15.0
"""Seconds of silence after which the connection that subscribes is asked for a sign of life."""
_GLOB = re.compile(r"([*?\[\]^\\])")


class RedisBackend(Backend):
    """Messages through the server at ``url``: ``redis://``, ``rediss://`` or ``unix://``.

    The channel ``stock`` is ``PREFIX:stock`` there, so that other programs can publish to it.
    """

    carrier: ClassVar[str] = "Redis"
    max_bytes: ClassVar[int] = 1024 * 1024  # a server's buffer for subscribers ends at 8 MB for 60 s, by default

    def __init__(self, url: str, *, prefix: str = "daf-broadcast") -> None:
        self._url = url
        self._prefix = f"{prefix}:"
        self._publishers: dict[asyncio.AbstractEventLoop, _Publisher] = {}
        try:
            self._connect(retries=0).connection_pool.make_connection()  # type: ignore[no-untyped-call] # redis-py's
        except (TypeError, ValueError):  # their messages may hold a part of the password
            raise ImproperlyConfigured(
                'DAF_VIEWS["BROADCAST_LOCATION"] is not the URL of a Redis server, such as "redis://127.0.0.1:6379/0"; '
                "special characters in a password must be percent-encoded."
            ) from None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one for the server at ``BROADCAST_LOCATION``."""
        if not settings.BROADCAST_LOCATION:
            raise ImproperlyConfigured(
                "DAF_VIEWS['BROADCAST_LOCATION'] must be the URL of a Redis server: \"redis://127.0.0.1:6379/0\"."
            )
        return cls(settings.BROADCAST_LOCATION, prefix=settings.BROADCAST_PREFIX)

    async def asend(self, channel: str, message: str) -> None:
        """Publish a message on this event loop's connection."""
        call = self._publisher().publish(self._prefix + channel, message)
        with _unavailable():
            # Not asyncio.timeout(): a cancellation that comes while redis-py connects may be lost, and it would hang.
            await in_time(call, get_settings().BROADCAST_TIMEOUT)

    def send(self, channel: str, message: str) -> None:
        """Publish a message on a connection that is closed again."""
        timeout = get_settings().BROADCAST_TIMEOUT
        client = redis.Redis.from_url(self._url, socket_timeout=timeout, socket_connect_timeout=timeout)
        with _unavailable(), client:
            client.publish(self._prefix + channel, message)

    async def receive(self, receiver: Receiver) -> None:
        """Subscribe to all channels with the prefix."""
        async with self._connect(retries=0) as client, client.pubsub() as pubsub:
            await pubsub.psubscribe(_GLOB.sub(r"\\\1", self._prefix) + "*")
            await _next(pubsub)
            receiver.connected()
            while True:
                found = await _next(pubsub)
                if found["type"] == "psubscribe":  # redis-py has connected again
                    raise redis.ConnectionError("The connection was lost.")
                if found["type"] == "pmessage":
                    channel = found["channel"].decode(errors="replace").removeprefix(self._prefix)
                    receiver.deliver(channel, found["data"].decode(errors="replace"))

    async def aclose(self) -> None:
        """Close the connection that publishes on the running event loop."""
        publisher = self._publishers.pop(asyncio.get_running_loop(), None)
        if publisher is not None:
            await publisher.client.aclose()

    def _publisher(self) -> _Publisher:
        loop = asyncio.get_running_loop()
        if (publisher := self._publishers.get(loop)) is None:
            for closed in [each for each in self._publishers if each.is_closed()]:
                del self._publishers[closed]
            # One immediate retry: a connection that the server closed while it was idle is no failure.
            publisher = self._publishers[loop] = _Publisher(self._connect(retries=1))
            current_drain().call_at_end(self.aclose)
        return publisher

    def _connect(self, *, retries: int) -> Redis:
        timeout = get_settings().BROADCAST_TIMEOUT
        return Redis.from_url(
            self._url, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), retries)
        )


class _Publisher:
    """The connection of one event loop that publishes: one message after the other, in the order they come."""

    __slots__ = ("_turn", "client")

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._turn = asyncio.Lock()

    async def publish(self, channel: str, message: str) -> None:
        async with self._turn:
            await self.client.publish(channel, message)


async def _next(pubsub: Any) -> dict[str, Any]:
    """Wait for what the server sends next. After a while without anything, see that the server is there."""
    for _ in range(2):
        found: dict[str, Any] | None = await pubsub.get_message(timeout=PING_INTERVAL)
        if found is not None:
            return found
        await pubsub.ping()
    raise redis.ConnectionError(f"The server was silent for {2 * PING_INTERVAL} s.")


@contextmanager
def _unavailable() -> Iterator[None]:
    """Turn what redis-py raises into an error that a view answers with 503."""
    try:
        yield
    except (redis.RedisError, OSError, ShuttingDownError) as error:  # TimeoutError is an OSError
        raise BroadcastUnavailableError(
            "Messages cannot be published at present.", retry_after=get_settings().RETRY_AFTER
        ) from error
