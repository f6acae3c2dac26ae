"""States in Redis or Valkey: one script, one round trip, the server's clock. Needs the extra ``redis``."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

from django.core.exceptions import ImproperlyConfigured
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from daf_views._core.cancellation import in_time
from daf_views._core.drain import current_drain
from daf_views.throttling.backends.base import Backend

if TYPE_CHECKING:
    from daf_views._core.clock import Clock
    from daf_views.settings import Settings
    from daf_views.throttling.operations import Operation, R

MAX_CONNECTIONS = 50
"""The limit for one event loop. A request that finds none free waits, until its time-out."""
_PATIENCE = 5.0
"""Seconds without a response after which a connection is closed in the background."""
_SCRIPT = files("daf_views.throttling.backends").joinpath("redis.lua").read_text()


class RedisBackend(Backend):
    """States on the server at ``url``: ``redis://``, ``rediss://`` or ``unix://``.

    ``clock`` is for tests: without one the server's own is read, so that no two machines differ.
    """

    def __init__(self, url: str, *, prefix: str = "daf-throttle:", clock: Clock | None = None) -> None:
        self._url = url
        self._prefix = prefix
        self._clock = clock
        self._clients: dict[asyncio.AbstractEventLoop, _Client] = {}
        try:
            self._connect().connection_pool.make_connection()  # type: ignore[no-untyped-call] # redis-py's
        except (TypeError, ValueError):  # their messages may hold a part of the password
            raise ImproperlyConfigured(
                'DAF_VIEWS["THROTTLE_LOCATION"] is not the URL of a Redis server, such as "redis://127.0.0.1:6379/0"; '
                "special characters in a password must be percent-encoded."
            ) from None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one for the server at ``THROTTLE_LOCATION``."""
        if not settings.THROTTLE_LOCATION:
            raise ImproperlyConfigured(
                "DAF_VIEWS['THROTTLE_LOCATION'] must be the URL of a Redis server: \"redis://127.0.0.1:6379/0\"."
            )
        return cls(settings.THROTTLE_LOCATION, prefix=settings.THROTTLE_PREFIX)

    async def run(self, key: str, operation: Operation[R], *, timeout: float) -> R:
        """Run the operation on the server."""
        now = "" if self._clock is None else self._clock()
        call = self._client().run(self._prefix + key, [now, *operation.arguments])
        # Not asyncio.timeout(): a cancellation that comes while redis-py connects may be lost, and the call would hang.
        return operation.read(await in_time(call, timeout))

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.redis.aclose()

    def _client(self) -> _Client:
        loop = asyncio.get_running_loop()
        if (client := self._clients.get(loop)) is None:
            for closed in [each for each in self._clients if each.is_closed()]:
                del self._clients[closed]
            client = self._clients[loop] = _Client(self._connect())
            current_drain().call_at_end(self.aclose)
        return client

    def _connect(self) -> Redis:
        # One immediate retry: a connection that the server closed while it was idle is no failure.
        return Redis.from_url(
            self._url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=Retry(NoBackoff(), 1)
        )


class _Client:
    """The connections of one event loop.

    Their number is limited here, and not by redis-py's BlockingConnectionPool. There a cancelled request keeps waiting
    until others have given up on a server that does not answer.
    """

    __slots__ = ("_places", "_script", "redis")

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._script: Any = redis.register_script(_SCRIPT)
        self._places = asyncio.Semaphore(MAX_CONNECTIONS)

    async def run(self, key: str, arguments: list[str | int]) -> list[int]:
        async with self._places:
            reply: list[int] = await self._script(keys=[key], args=arguments)
            return reply
