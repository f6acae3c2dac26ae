"""The threads that calls run on: as many as may be needed, of which few compute at once.

Problem: threads that compute take the interpreter's lock from each other and from the event loop, and each time costs
two of them a sleep. Mechanism: a call begins in a *place*, of which there are few; one thread runs call after call in
its place, without a sleep between two. Invariant: a call that waits keeps no other call waiting. It loses its place to
those in the queue once it has waited for its database for a moment, or runs for much longer than calls do.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

AT_ONCE: Final = 4
"""Places. With two, gathered calls that wait 2 ms each for a server took about half as long again, for no less CPU."""
MOMENT: Final = 0.001
"""Seconds that a call may wait for its database in its place while others want it; the queue is looked at as often."""
LONG: Final = 0.01
"""Seconds after which a call that does not say what it does may wait for anything."""


class Place:
    """Where one thread runs call after call."""

    __slots__ = ("_held", "began", "waits_since")

    def __init__(self) -> None:
        self.began = 0.0
        """When the running call began, by ``time.monotonic()``."""
        self.waits_since = 0.0
        """Since when it waits for its database; 0 if it does not."""
        self._held = [True]  # popping it is atomic and needs no lock

    def leave(self) -> bool:
        """Let another thread have it. False if it has been left."""
        try:
            return self._held.pop()
        except IndexError:
            return False

    @property
    def is_held(self) -> bool:
        """Whether the thread still has it."""
        return bool(self._held)

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


class Workers(ThreadPoolExecutor):
    """Runs calls of event loops, few at once; what is submitted runs beside them, at once."""

    def __init__(self, max_workers: int, *, thread_name_prefix: str) -> None:
        super().__init__(max_workers, thread_name_prefix=thread_name_prefix)
        # Each operation on these is atomic: no lock, which a thread that is to be woken would have to wait for.
        self._calls: deque[Callable[[], object]] = deque()
        self._free_places = [None] * AT_ONCE
        self._places: dict[Place, None] = {}  # those that are taken
        self._watching: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    def run_call(self, call: Callable[[], object], loop: asyncio.AbstractEventLoop) -> None:
        """Run a call as soon as there is a place for it. It must not raise. Called on the event loop that waits for it.

        Raises RuntimeError after :meth:`shutdown`.
        """
        self._calls.append(call)
        try:
            has_begun = self._begin()
        except RuntimeError:
            try:
                self._calls.remove(call)
            except ValueError:  # a thread has it
                return
            raise
        if not has_begun and loop not in self._watching:
            self._watching.add(loop)
            loop.call_later(MOMENT, self._watch, loop)

    def _begin(self) -> bool:
        if not self._take_place():
            return False
        try:
            self.submit(self._run_calls)
        except BaseException:
            self._free_places.append(None)
            raise
        return True

    def _take_place(self) -> bool:
        try:
            self._free_places.pop()
        except IndexError:
            return False
        return True

    def _run_calls(self) -> None:
        """Run calls in a place, which has been taken, until there is none, or the place has been given away."""
        while True:
            place = _here.place = Place()
            self._places[place] = None
            try:
                while place.is_held and self._run_next(place):
                    pass
            finally:
                _here.place = None
                del self._places[place]
                if place.leave():
                    self._free_places.append(None)
            if not self._calls or not self._take_place():  # one may have come before the place was free
                return

    def _run_next(self, place: Place) -> bool:
        try:
            call = self._calls.popleft()
        except IndexError:
            return False
        place.began = time.monotonic()
        call()
        return True

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """While calls are queued, give them the places of calls that wait."""
        if not self._calls:
            self._watching.discard(loop)
            return
        loop.call_later(MOMENT, self._watch, loop)
        now = time.monotonic()
        for place in tuple(self._places):
            if place.is_idle(now) and place.leave():
                self._free_places.append(None)
        try:
            for _ in range(len(self._calls)):
                if not self._begin():
                    return
        except RuntimeError:  # the interpreter ends: the threads that run take what is queued
            return
