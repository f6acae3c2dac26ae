"""The requests in flight on one event loop: their limit, the queue for a slot, and the end of the last one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from daf_views.asgi import metrics
from daf_views.asgi.slots import Slot, Slots
from daf_views.exceptions import ServiceUnavailableError

if TYPE_CHECKING:
    from daf_views.asgi.receiver import Receiver
    from daf_views.settings import Settings


class InFlightLimiter:
    """At most ``MAX_IN_FLIGHT`` requests are answered at a time; ``MAX_WAITING`` wait for a slot, first in, first out.

    Of one event loop, and used on it only.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._receivers: set[Receiver] = set()
        self._slots = None if settings.MAX_IN_FLIGHT is None else Slots(settings, settings.MAX_IN_FLIGHT)
        self._is_closed = False
        self._emptied = asyncio.Event()
        metrics.watch(self)

    def __len__(self) -> int:
        return len(self._receivers)

    @property
    def is_full(self) -> bool:
        """Return True if another request would have to wait."""
        return self._slots is not None and self._slots.are_taken

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a slot."""
        return 0 if self._slots is None else self._slots.waiting

    async def enter(self, receiver: Receiver, *, unlimited: bool = False) -> Slot | None:
        """Count a request in, when there is a slot for it; return the slot for :meth:`leave`.

        ``unlimited``: it needs no slot. Raises ServiceUnavailableError if too many wait, if the wait timed out, or if
        the drain is over.
        """
        if self._is_closed:
            raise self._overload()
        slots = None if unlimited else self._slots
        if slots is not None:
            await slots.take()
            receiver.slot = Slot(slots)
        self._receivers.add(receiver)
        return receiver.slot

    def leave(self, receiver: Receiver, slot: Slot | None) -> None:
        """Count it out."""
        if slot is not None:
            slot.leave()
        self._receivers.discard(receiver)
        if not self._receivers:
            self._emptied.set()

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
            if self._slots is not None:
                self._slots.is_closed = True
            late = [*self._receivers]
            for receiver in late:
                receiver.abort()
            await self._wait_until_empty()
            return len(late)
        return 0

    async def _wait_until_empty(self) -> None:
        while self._receivers:
            self._emptied.clear()
            await self._emptied.wait()
