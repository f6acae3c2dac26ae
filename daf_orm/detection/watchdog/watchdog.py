"""A thread that notices when an event loop stands still, and logs the line of the user's code.

Problem: one callback that computes or blocks makes every request of the process wait, and in production no guard
raises. Mechanism: the thread asks each watched loop for a *beat*, a callback that notes the time. If a beat is overdue,
the stack of the loop's thread shows the call that keeps the loop. Invariants: a loop neither waits for the watchdog nor
lives longer because of it. Time in which the watchdog itself could not run, since the process was suspended, is no
stall. It is one if the loop's thread was computing meanwhile, in C code that keeps the interpreter's lock: a regular
expression, a JSON parser.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any, Final

from django.core.signals import setting_changed

from daf_orm.detection.watchdog.stalls import Sample, Stalls, take_sample
from daf_orm.metrics.registry import Computed
from daf_orm.settings import WatchdogSettings, get_settings

logger = logging.getLogger("daf_orm.blocking")

PATIENCE: Final = 10
"""A stall is logged when it is over, with its length, or when it has lasted this many thresholds."""
BUSY: Final = 4
"""A thread with one second of CPU time in this many is computing, on a busy machine; a suspended one gets none."""


@dataclass(slots=True)
class Beat:
    """A callback that a loop was asked for."""

    asked: float
    excused: float
    """Seconds since then in which the watchdog could not run either."""
    answered: float | None = None
    cpu: float = 0.0
    """The CPU time of the loop's thread at the answer."""
    sample: Sample | None = None
    is_counted: bool = False


class WatchedLoop:
    """The watchdog's record of an event loop."""

    __slots__ = ("answered", "beat", "cpu", "loop", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = weakref.ref(loop)
        self.thread = threading.get_ident()
        self.answered = time.monotonic()
        """The time of the last answer."""
        self.cpu = time.thread_time()
        """The CPU time of the loop's thread at the last answer."""
        self.beat: Beat | None = None

    def answer(self, beat: Beat) -> None:
        """Note, on the loop, that it runs."""
        self.thread = threading.get_ident()
        beat.cpu = time.thread_time()
        beat.answered = time.monotonic()  # last, because the watchdog reads it first


class Watchdog:
    """The thread, the loops it watches, and the stalls it has seen."""

    def __init__(self, settings: WatchdogSettings) -> None:
        self.stalls = Stalls(interval=settings.INTERVAL, max_sites=settings.MAX_SITES)
        self._threshold = settings.THRESHOLD
        self._tick = settings.THRESHOLD / 2
        self._loops: dict[int, WatchedLoop] = {}
        self._wake = threading.Event()
        self._rests = False  # True while it waits for a loop to watch, or is about to look for one
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="daf_orm-watchdog", daemon=True)
        self._thread.start()

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Watch the loop, which runs in this thread, until it is closed or dropped. Idempotent."""
        known = self._loops.get(id(loop))
        if known is not None and known.loop() is loop:
            return
        self._loops[id(loop)] = WatchedLoop(loop)
        if self._rests:
            self._wake.set()

    def stop(self, timeout: float = 0.0) -> None:
        """Let the thread end, and wait up to ``timeout`` seconds for it."""
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout)

    # The thread

    def _run(self) -> None:
        while not self._stopped:
            late = self._pause()
            now = time.monotonic()
            for key, watched in tuple(self._loops.items()):
                try:
                    lives = self._attend(watched, now, late)
                except Exception:
                    logger.exception("The watchdog stops watching an event loop after an error.")
                    lives = False
                if not lives and self._loops.get(key) is watched:  # a new loop may have got the id of a dead one
                    del self._loops[key]

    def _pause(self) -> float:
        """Wait for the next round, or for a loop to watch. Return the seconds by which it came much too late, or 0."""
        self._wake.clear()
        self._rests = True  # before the loops are read: watch() adds its loop first, then reads this
        if self._stopped:
            return 0.0
        if not self._loops:
            self._wake.wait()
        self._rests = False
        due = time.monotonic() + self._tick
        self._wake.wait(self._tick)
        late = time.monotonic() - due
        return late if late > self._tick else 0.0

    def _attend(self, watched: WatchedLoop, now: float, late: float) -> bool:
        """Check one loop. Return False if it is to be forgotten."""
        loop, beat = watched.loop(), watched.beat  # the loop in no variable that outlives this call
        if beat is not None and beat.answered is not None:
            self._decide(watched, beat, beat.answered)
            beat = watched.beat = None
        if loop is None or loop.is_closed():
            return False
        if not loop.is_running():
            if beat is not None:  # it is answered when the loop runs again; until then no time counts
                beat.asked, beat.excused, beat.sample = now, 0.0, None
            return True
        if beat is not None:
            beat.excused += late
            self._look(watched, beat, now)
            return True
        beat = watched.beat = Beat(now - late, late)  # as if it had been asked for in time
        self._look(watched, beat, now)
        return _ask(loop, watched, beat)

    def _look(self, watched: WatchedLoop, beat: Beat, now: float) -> None:
        """Find the reason for an overdue beat."""
        overdue = now - beat.asked
        if overdue >= self._threshold and (beat.sample is None or beat.sample.place is None):
            beat.sample = take_sample(watched.thread)
        if overdue - beat.excused >= PATIENCE * self._threshold and not beat.is_counted:
            self._count(beat, overdue - beat.excused)

    def _decide(self, watched: WatchedLoop, beat: Beat, answered: float) -> None:
        """Count a stall if an answered beat came too late."""
        seconds = answered - beat.asked
        computed = beat.cpu - watched.cpu - max(0.0, beat.asked - watched.answered)  # at least, since it was asked
        if computed < beat.excused / BUSY:
            seconds -= beat.excused
        watched.answered, watched.cpu = answered, beat.cpu
        if seconds >= self._threshold:
            self._count(beat, seconds)

    def _count(self, beat: Beat, seconds: float) -> None:
        if beat.sample is None:  # over before it was seen
            return
        if beat.is_counted:
            self.stalls.prolong(beat.sample, seconds)
            return
        beat.is_counted = True
        self.stalls.add(beat.sample, seconds, lasts=beat.answered is None)


def _ask(loop: asyncio.AbstractEventLoop, watched: WatchedLoop, beat: Beat) -> bool:
    try:
        loop.call_soon_threadsafe(watched.answer, beat)
    except RuntimeError:  # closed at this moment
        return False
    return True


# The process's watchdog

wanted = True
"""False once the settings have turned the watchdog off, so that :func:`watch_running_loop` has nothing to do."""

_watchdog: Watchdog | None = None
_starting = threading.Lock()  # two loops may want the first one at once


def watch_running_loop() -> None:
    """Watch the event loop of this thread, if ``DAF_ORM["WATCHDOG"]`` is set. To be called while it is ``wanted``."""
    active = _watchdog or _start()
    if active is not None:
        active.watch(asyncio.get_running_loop())


def get_stats() -> dict[str, Any]:
    """Return the ``stalls`` seen in this process, ``longest_ms``, and ``sites``: the same two for each line."""
    active = _watchdog
    return active.stalls.get_stats() if active is not None else {"stalls": 0, "longest_ms": 0, "sites": {}}


Computed(
    "daf_loop_stalls_total",
    "Times that an event loop was blocked for longer than the watchdog's threshold.",
    kind="counter",
    unit="stalls",
    read=lambda: get_stats()["stalls"],
)
Computed(
    "daf_loop_longest_stall_seconds",
    "The longest stall of an event loop that the watchdog has seen.",
    kind="gauge",
    unit="seconds",
    read=lambda: get_stats()["longest_ms"] / 1000,
)


def _start() -> Watchdog | None:
    global _watchdog, wanted  # noqa: PLW0603 - one watchdog per process
    with _starting:
        if _watchdog is None:
            settings = get_settings().WATCHDOG
            if settings is None:
                wanted = False
                return None
            _watchdog = Watchdog(settings)
        return _watchdog


def _stop(timeout: float = 0.0) -> None:
    global _watchdog, wanted
    active, _watchdog, wanted = _watchdog, None, True
    if active is not None:
        active.stop(timeout)


def _stop_on_change(*, setting: str, **_: object) -> None:
    if setting == "DAF_ORM":
        _stop()  # the next use of a loop starts it again, with the new settings


def _forget_after_fork() -> None:
    global _watchdog, _starting, wanted
    _watchdog, _starting, wanted = None, threading.Lock(), True  # the thread is the parent's; it may hold the lock


setting_changed.connect(_stop_on_change, dispatch_uid="daf_orm.watchdog")
atexit.register(_stop, 1.0)  # a thread that logs while the interpreter ends would crash it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
