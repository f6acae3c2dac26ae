"""The slots of an event loop: requests that are being answered, and those that wait for a slot or for their body."""

from __future__ import annotations

import asyncio

from daf_views.exceptions import ServiceUnavailableError
from daf_views.settings import Settings


class Slots:
    """``MAX_IN_FLIGHT`` slots, for which ``MAX_WAITING`` requests wait, first in, first out. Of one event loop."""

    def __init__(self, settings: Settings, number: int) -> None:
        self._settings = settings
        self._semaphore = asyncio.Semaphore(number)
        self._waiting = 0
        self._receiving = 0
        self._most_receiving = max(number, settings.MAX_WAITING)
        self.is_closed = False

    @property
    def are_taken(self) -> bool:
        """Return True if another request would have to wait."""
        return self._semaphore.locked()

    @property
    def waiting(self) -> int:
        """Number of requests that wait for one."""
        return self._waiting

    async def take(self) -> None:
        """Wait for a slot. Raises ServiceUnavailableError if too many do, or if it takes longer than WAIT_TIMEOUT."""
        if not self._semaphore.locked():
            await self._semaphore.acquire()  # at once
            return
        if self._waiting >= self._settings.MAX_WAITING:
            raise self.overload()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.WAIT_TIMEOUT):
                await self._semaphore.acquire()
        except TimeoutError as error:
            raise self.overload() from error
        finally:
            self._waiting -= 1
        if self.is_closed:
            self._semaphore.release()
            raise self.overload()

    def release(self) -> None:
        """Let another request have a slot."""
        self._semaphore.release()

    def begin_receiving(self) -> bool:
        """Count a request that waits for its body without a slot; return False if there are too many of them."""
        if self._receiving >= self._most_receiving:
            return False
        self._receiving += 1
        return True

    def end_receiving(self) -> None:
        """Count it out."""
        self._receiving -= 1

    def overload(self) -> ServiceUnavailableError:
        """Return the 503."""
        return ServiceUnavailableError(retry_after=self._settings.RETRY_AFTER, code="overloaded")


class Slot:
    """A request's slot. Another request has it while the client is slow to send its body."""

    __slots__ = ("_slots", "is_held")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.is_held = True

    def give_back(self) -> bool:
        """Let another request have it; return False if too many have given theirs back already."""
        if not self._slots.begin_receiving():
            return False
        self.is_held = False
        self._slots.release()
        return True

    async def take_again(self) -> None:
        """Wait for a slot as any other request does. Raises ServiceUnavailableError."""
        await self._slots.take()
        self._slots.end_receiving()
        self.is_held = True

    def leave(self) -> None:
        """Be done with it, held or not."""
        if self.is_held:
            self._slots.release()
        else:
            self._slots.end_receiving()

    def overload(self) -> ServiceUnavailableError:
        """Return the 503 for a request whose slot could not be given back."""
        return self._slots.overload()
