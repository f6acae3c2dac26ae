"""Whether the server is about to stop, for whoever would otherwise go on for ever: streams, readiness, new work.

Each event loop has its own drain: a process may run several, one after the other in tests.
"""

import asyncio
from weakref import WeakKeyDictionary


class Drain:
    """What an event loop's server wants: to go on, or to end what it has begun and stop."""

    __slots__ = ("_requested",)

    def __init__(self) -> None:
        self._requested = asyncio.Event()

    @property
    def requested(self) -> bool:
        """Whether the server wants to stop."""
        return self._requested.is_set()

    def request(self) -> None:
        """Ask everybody to come to an end. Cannot be undone: the loop's server does not start again."""
        self._requested.set()

    async def wait(self) -> None:
        """Wait until the server wants to stop."""
        await self._requested.wait()


_drains: WeakKeyDictionary[asyncio.AbstractEventLoop, Drain] = WeakKeyDictionary()


def current_drain() -> Drain:
    """Return the running event loop's drain."""
    return _drains.setdefault(asyncio.get_running_loop(), Drain())
