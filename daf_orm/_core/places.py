"""Few of the threads that calls run on compute at once.

Problem: threads that compute take the interpreter's lock from each other and from the event loop, and each time costs
two of them a sleep. Mechanism: a call begins in a *place*, of which there are few, on the thread of its lease.
Invariant: a call that waits keeps no other call waiting. It loses its place to those in the queue once it has waited
for its database for a moment, or runs for much longer than calls do.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

from daf_orm._core.tickets import new_ticket, take

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Executor

AT_ONCE: Final = 4
"""Places. With two, gathered calls that wait 2 ms each for a server took about half as long again, for no less CPU."""
MOMENT: Final = 0.001
"""Seconds that a call may wait for its database in its place while others want it; the queue is looked at as often."""
LONG: Final = 0.01
"""Seconds after which a call that does not say what it does may wait for anything."""


class Place:
    """What a call has while it computes."""

    __slots__ = ("_held", "began", "waits_since")

    def __init__(self) -> None:
        self.began = time.monotonic()
        """When the running call began, by ``time.monotonic()``."""
        self.waits_since = 0.0
        """Since when it waits for its database; 0 if it does not."""
        self._held = new_ticket()

    def leave(self) -> bool:
        """Let another thread have it. False if it has been left."""
        return take(self._held)

    def is_idle(self, now: float) -> bool:
        """Whether its call only waits, as far as can be seen."""
        waits_since = self.waits_since
        return now - waits_since > MOMENT if waits_since else now - self.began > LONG


class _Here(threading.local):
    place: Place | None = None


_here = _Here()


def begin_waiting() -> Place | None:
    """Take note that the call on this thread waits for its database. Return what :func:`end_waiting` needs."""
    if (place := _here.place) is not None:
        place.waits_since = time.monotonic()
    return place


def end_waiting(place: Place | None) -> None:
    """Take note that it goes on."""
    if place is not None:
        place.waits_since = 0.0


class Runnable(Protocol):
    """A call that is to run on a thread."""

    def __call__(self) -> object:
        """Run it. It must not raise."""

    def refuse(self, error: BaseException) -> None:
        """It will not run, since its thread has ended."""


class Places:
    """Lets calls of event loops begin, few at once."""

    def __init__(self) -> None:
        # Each operation on these is atomic: no lock, which a thread that is to be woken would have to wait for.
        self._calls: deque[tuple[Runnable, Executor]] = deque()
        self._free = [None] * AT_ONCE
        self._taken: dict[Place, None] = {}
        self._watching: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    def run_call(self, call: Runnable, executor: Executor, loop: asyncio.AbstractEventLoop) -> None:
        """Run a call on its executor as soon as there is a place for it. Called on the event loop that waits for it."""
        self._calls.append((call, executor))
        self._begin_calls()
        if self._calls and loop not in self._watching:
            self._watching.add(loop)
            loop.call_later(MOMENT, self._watch, loop)

    def _begin_calls(self) -> None:
        while self._calls and self._take_place():
            try:
                call, executor = self._calls.popleft()
            except IndexError:  # another thread has it
                self._free.append(None)
                continue
            place = Place()
            self._taken[place] = None
            try:
                executor.submit(self._run, place, call)
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
        _here.place = place
        try:
            call()
        finally:
            _here.place = None
            self._give_back(place)
            self._begin_calls()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """While calls are queued, give them the places of calls that wait."""
        if not self._calls:
            self._watching.discard(loop)
            return
        loop.call_later(MOMENT, self._watch, loop)
        now = time.monotonic()
        for place in tuple(self._taken):
            if place.is_idle(now) and place.leave():
                self._free.append(None)
        self._begin_calls()


class CallThread(ThreadPoolExecutor):
    """One thread for the calls of a lease, which take turns for places with those of others.

    What is submitted runs on it without a place.
    """

    def __init__(self, places: Places) -> None:
        super().__init__(1, thread_name_prefix="daf_orm")
        self.places = places
