"""Stalls of event loops: their places and lengths, counted by line, and logged at intervals."""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.events
import asyncio.runners
import inspect
import logging
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from daf_orm._core.call_site import CallSite
from daf_orm.detection.frames import expression, is_user_code

if TYPE_CHECKING:
    from types import FrameType

logger = logging.getLogger("daf_orm.blocking")

_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR
_CALLBACK = asyncio.events.Handle._run.__code__  # noqa: SLF001 - asyncio calls every callback by it
_RUN_ONCE = asyncio.base_events.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]  # noqa: SLF001 - private
_RUNNER = asyncio.runners.Runner.run.__code__


@dataclass(frozen=True, slots=True)
class Sample:
    """The call in which the loop's thread was seen. Without a place the loop was calling nothing just then."""

    place: CallSite | None = None
    expression: str = ""
    stack: tuple[str, ...] = ()
    """The frames between the loop and the innermost call, innermost first."""


def take_sample(thread: int) -> Sample:
    """Return the call that a loop makes in another thread, which goes on meanwhile."""
    running = _running(sys._current_frames().get(thread))  # noqa: SLF001 - the only way to see a thread's frames
    if not running:
        return Sample()
    frame = next((each for each in running if is_user_code(each.f_code.co_filename)), running[0])
    place = _place(frame)
    return Sample(place, expression(frame), tuple(str(_place(each)) for each in running))


def _running(frame: FrameType | None) -> list[FrameType]:
    """Return the frames that a loop is calling, innermost first; an empty list if it waits for events."""
    stack: list[FrameType] = []
    depth = 0
    while frame is not None and frame.f_code not in (_RUN_ONCE, _RUNNER):
        stack.append(frame)
        if frame.f_code.co_flags & _COROUTINE or frame.f_code is _CALLBACK:
            depth = len(stack)
        frame = frame.f_back
    # uvloop waits and calls from C: the frame directly above the runner is a callback's.
    return stack if frame is not None and frame.f_code is _RUNNER else stack[:depth]


def _place(frame: FrameType) -> CallSite:
    return CallSite(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)


@dataclass(slots=True)
class Site:
    """The counts of one line."""

    stalls: int = 0
    longest: float = 0.0
    logged_at: float = float("-inf")
    logged_stalls: int = 0


class Stalls:
    """The stalls of a process. Written by one thread, read by any."""

    def __init__(self, *, interval: float, max_sites: int) -> None:
        self._interval = interval
        self._max_sites = max_sites
        self._sites: dict[CallSite | None, Site] = {}  # the site with the oldest last stall comes first
        self._stalls = 0
        self._longest = 0.0

    def add(self, sample: Sample, seconds: float, *, lasts: bool) -> None:
        """Count a stall; log it unless its line was logged within the interval."""
        site = self._touch(sample, seconds)
        self._stalls += 1
        site.stalls += 1
        if (now := time.monotonic()) - site.logged_at >= self._interval:
            _log(sample, site, seconds, lasts=lasts)
            site.logged_at, site.logged_stalls = now, site.stalls

    def prolong(self, sample: Sample, seconds: float) -> None:
        """Record the present length of the stall added last at that place."""
        self._touch(sample, seconds)

    def get_stats(self) -> dict[str, Any]:
        """Return the number of stalls and the milliseconds of the longest, in all and by line."""
        sites = {
            str(place or "unknown"): {"stalls": site.stalls, "longest_ms": round(site.longest * 1000)}
            for place, site in tuple(self._sites.items())
        }
        return {"stalls": self._stalls, "longest_ms": round(self._longest * 1000), "sites": sites}

    def _touch(self, sample: Sample, seconds: float) -> Site:
        site = self._sites.pop(sample.place) if sample.place in self._sites else Site()
        self._sites[sample.place] = site
        if len(self._sites) > self._max_sites:
            del self._sites[next(iter(self._sites))]
        self._longest = max(self._longest, seconds)
        site.longest = max(site.longest, seconds)
        return site


def _log(sample: Sample, site: Site, seconds: float, *, lasts: bool) -> None:
    count = site.stalls - site.logged_stalls
    logger.warning(
        _UNSEEN if sample.place is None else _SEEN,
        {
            "verb": "has been" if lasts else "was",
            "seconds": seconds,
            "place": sample.place,
            "source": f": {sample.expression}" if sample.expression else "",
            "times": f" ({count} times since this was logged)" if count > 1 else "",
        },
        extra={"stall": _fields(sample, site, seconds, lasts=lasts)},
    )


def _fields(sample: Sample, site: Site, seconds: float, *, lasts: bool) -> dict[str, Any]:
    place = sample.place
    return {
        "filename": place.filename if place else None,
        "lineno": place.lineno if place else None,
        "function": place.function if place else None,
        "expression": sample.expression,
        "stack": list(sample.stack),
        "seconds": seconds,
        "lasts": lasts,
        "count": site.stalls,
    }


_SEEN = (
    "The event loop %(verb)s blocked for %(seconds).2f s at %(place)s%(source)s.%(times)s Do that in a thread: await "
    "asyncio.to_thread(…), or daf_orm.database_sync_to_async(…) if it queries."
)
_UNSEEN = (
    "The event loop %(verb)s blocked for %(seconds).2f s, but it was calling nothing.%(times)s Other threads kept the "
    "interpreter, or the machine has too little CPU."
)
