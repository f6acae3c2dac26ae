"""Limit how many of the threads that calls run on compute at the same time.

Problem: threads that compute take the interpreter's lock from each other and from the event loop, and each time costs
two of them a sleep. Mechanism: a call begins in a *place*, of which there are few, on the thread of its lease.
Invariant: a call that waits keeps no other call waiting. It loses its place to queued calls once it has waited for its
database for a moment, or runs for much longer than calls do.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from daf_orm._core.tickets import new_ticket, take

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

AT_ONCE: Final = 4
"""Places. With two, gathered calls that wait 2 ms each for a server took about half as long again, for no less CPU."""
MOMENT: Final = 0.001
"""Seconds that a call may wait for its database in its place while others are queued. The queue is checked at the same
interval."""
LONG: Final = 0.01
"""Seconds after which a call that has not reported a wait is assumed to wait."""


class Place:
    """The right of a call to compute."""

    __slots__ = ("_held", "began", "waits_since")

    def __init__(self) -> None:
        self.began = time.monotonic()
        """When the running call began, by ``time.monotonic()``."""
        self.waits_since = 0.0
        """Since when it waits for its database; 0 if it does not."""
        self._held = new_ticket()

    def leave(self) -> bool:
        """Leave it to another thread. False if it has been left before."""
        return take(self._held)

    def is_idle(self, now: float) -> bool:
        """Return True if its call seems to be waiting only."""
        waits_since = self.waits_since
        return now - waits_since > MOMENT if waits_since else now - self.began > LONG


class _ThreadState(threading.local):
    place: Place | None = None


_thread_state = _ThreadState()


def begin_waiting() -> Place | None:
    """Record that the call on this thread waits for its database. Return the argument for :func:`end_waiting`."""
    if (place := _thread_state.place) is not None:
        place.waits_since = time.monotonic()
    return place


def end_waiting(place: Place | None) -> None:
    """Record that the call goes on."""
    if place is not None:
        place.waits_since = 0.0


class Runnable(Protocol):
    """A call to be run on a thread."""

    def __call__(self) -> object:
        """Run it. It must not raise."""

    def refuse(self, error: BaseException) -> None:
        """Fail, since its thread has ended: the call will not run."""


class Thread(Protocol):
    """The thread of a lease."""

    def run(self, work: Callable[[], object]) -> None:
        """Run ``work`` when all earlier work has ended. Raises RuntimeError if the thread has ended."""


class Places:
    """Lets calls of event loops begin, a few at the same time."""

    def __init__(self) -> None:
        # Each operation on these is atomic. With a lock, a woken thread would have to wait for it.
        self._calls: deque[tuple[Runnable, Thread]] = deque()
        self._free = [None] * AT_ONCE
        self._taken: dict[Place, None] = {}
        self._watching: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    def run_call(self, call: Runnable, thread: Thread, loop: asyncio.AbstractEventLoop) -> None:
        """Run a call on its thread as soon as there is a place for it. Called on the event loop that waits for it."""
        self._calls.append((call, thread))
        self._begin_calls()
        if self._calls and loop not in self._watching:
            self._watching.add(loop)
            loop.call_later(MOMENT, self._watch, loop)

    def _begin_calls(self) -> None:
        while self._calls and self._take_place():
            try:
                call, thread = self._calls.popleft()
            except IndexError:  # another thread has it
                self._free.append(None)
                continue
            place = Place()
            self._taken[place] = None
            try:
                thread.run(partial(self._run, place, call))
            except RuntimeError as error:
                self._give_back(place)
                call.refuse(error)

    def _take_place(self) -> bool:
        try:
            self._free.pop()
        except IndexError:
            return False
        return True

    def _give_back(self, place: Place) -> None:
        del self._taken[place]
        if place.leave():
            self._free.append(None)

    def _run(self, place: Place, call: Runnable) -> None:
        _thread_state.place = place
        try:
            call()
        finally:
            _thread_state.place = None
            self._give_back(place)
            self._begin_calls()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the places of waiting calls to queued calls, as long as there are any."""
        if not self._calls:
            self._watching.discard(loop)
            return
        loop.call_later(MOMENT, self._watch, loop)
        now = time.monotonic()
        for place in tuple(self._taken):
            if place.is_idle(now) and place.leave():
                self._free.append(None)
        self._begin_calls()
