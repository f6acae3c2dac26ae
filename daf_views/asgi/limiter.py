"""The requests in flight on one event loop: how many may be, who waits for a place, and when the last has gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from daf_views.exceptions import ServiceUnavailableError

if TYPE_CHECKING:
    from daf_views.asgi.receiver import Client
    from daf_views.settings import Settings


class InFlight:
    """At most ``MAX_IN_FLIGHT`` requests are answered at a time; ``MAX_WAITING`` wait for a place, first come first.

    Of one event loop, and used on it only.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: set[Client] = set()
        self._places = None if settings.MAX_IN_FLIGHT is None else asyncio.Semaphore(settings.MAX_IN_FLIGHT)
        self._waiting = 0
        self._is_closed = False
        self._emptied = asyncio.Event()

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def is_full(self) -> bool:
        """Whether one more request would have to wait."""
        return self._places is not None and self._places.locked()

    async def enter(self, client: Client, *, unlimited: bool = False) -> asyncio.Semaphore | None:
        """Count a request in, when there is a place for it; return what :meth:`leave` wants back.

        ``unlimited``: it needs no place. Raises ServiceUnavailableError if too many wait, if it waited in vain, or if
        the drain is over.
        """
        if self._is_closed:
            raise self._overload()
        places = None if unlimited else self._places
        if places is not None:
            await self._take_place(places)
        self._clients.add(client)
        return places

    def leave(self, client: Client, places: asyncio.Semaphore | None) -> None:
        """Count it out."""
        if places is not None:
            places.release()
        self._clients.discard(client)
        if not self._clients:
            self._emptied.set()

    async def _take_place(self, places: asyncio.Semaphore) -> None:
        if not places.locked():
            await places.acquire()  # at once
            return
        limits = self._settings
        if self._waiting >= limits.MAX_WAITING:
            raise self._overload()
        self._waiting += 1
        try:
            async with asyncio.timeout(limits.WAIT_TIMEOUT):
                await places.acquire()
        except TimeoutError as error:
            raise self._overload() from error
        finally:
            self._waiting -= 1
        if self._is_closed:
            places.release()
            raise self._overload()

    def _overload(self) -> ServiceUnavailableError:
        return ServiceUnavailableError(retry_after=self._settings.RETRY_AFTER, code="overloaded")

    async def drain(self, timeout: float) -> int:
        """Wait until no request is in flight; cancel those that are after ``timeout`` seconds and return their number.

        Those that are cancelled have ended when this returns, and no other request is let in.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._wait_until_empty()
        except TimeoutError:
            self._is_closed = True
            late = [*self._clients]
            for client in late:
                client.abort()
            await self._wait_until_empty()
            return len(late)
        return 0

    async def _wait_until_empty(self) -> None:
        while self._clients:
            self._emptied.clear()
            await self._emptied.wait()
