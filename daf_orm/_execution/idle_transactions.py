"""Atomic blocks that keep their connection while their task waits for something else, such as another server.

Mechanism: one timer for each block compares the time with the last end of a turn on the block's lease. If that is too
long ago, the chain of coroutines that the task is suspended in leads to the line where it waits.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import threading
import time
import weakref
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

from daf_orm._core.call_site import CallSite
from daf_orm._core.tasks import current_task
from daf_orm.detection.frames import expression, is_user_code
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from daf_orm._leases.scope import Scope

logger = logging.getLogger("daf_orm")

INTERVAL: Final = 60.0
"""Seconds between two messages about blocks that begin at the same line."""
MAX_ORIGINS: Final = 1000
"""Lines that are remembered as logged; beyond that number all are forgotten."""

_Suspended = (CoroutineType, GeneratorType, AsyncGeneratorType)


class IdleWatch:
    """Checks at intervals that an atomic block uses its connection, for as long as the block is open."""

    __slots__ = ("_due", "_find_task", "_limit", "_loop", "_reported", "_scope", "_since", "_thread", "_timer")

    def __init__(self, scope: Scope, limit: float) -> None:
        task = current_task()
        self._scope: Scope | None = scope
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        # Weak: the timer, and so the loop, must not keep a task alive that all other code has dropped.
        self._find_task = weakref.ref(task) if task is not None else _no_task
        self._since = 0.0  # since then the loop is known to have run its callbacks in time
        self._reported = 0.0  # the end of the last turn before the wait that was reported
        self._arm(limit)

    def stop(self) -> None:
        """Remove the timer from the loop."""
        self._scope = None
        if threading.get_ident() == self._thread:  # a finalizer may run in any thread: the timer then finds no scope
            self._timer.cancel()

    def _arm(self, delay: float) -> None:
        self._due = time.monotonic() + delay
        self._timer = self._loop.call_later(delay, self._look)

    def _look(self) -> None:
        scope, now = self._scope, time.monotonic()
        if scope is None or not scope.is_alive:
            return
        if now - self._due > self._limit / 10:  # the loop was blocked: perhaps the task waits only for its turn
            self._since = now
        turn = scope.lease.turn
        idle = 0.0 if turn.taken else now - max(turn.ended, self._since)
        if idle >= self._limit and turn.ended != self._reported:
            self._reported = turn.ended
            _report(scope.origin, self._find_task(), now - turn.ended)
        self._arm(self._limit - idle if idle < self._limit else self._limit)


def watch(scope: Scope) -> IdleWatch | None:
    """Watch an atomic block, to be stopped when it ends. None if that is off, or if nothing could be seen.

    On a sync parent's thread the whole block has the turn, so its pauses do not show.
    """
    limit = get_settings().TRANSACTION_IDLE_WARNING
    return None if limit is None or scope.lease.connections is None else IdleWatch(scope, limit)


def _no_task() -> None:
    """Stand in for a reference to the task, where a callback entered the block."""


def find_await(task: asyncio.Task[Any]) -> FrameType | None:
    """Return the innermost frame of the user's code that a suspended task waits in."""
    found: FrameType | None = None
    step: object = task.get_coro()
    while isinstance(step, _Suspended):
        frame, awaited = _parts(step)
        if frame is not None and is_user_code(frame.f_code.co_filename):
            found = frame
        step = _behind(awaited)
    return found


def _parts(step: Any) -> tuple[FrameType | None, object]:
    if isinstance(step, CoroutineType):
        return step.cr_frame, step.cr_await
    if isinstance(step, AsyncGeneratorType):
        return step.ag_frame, step.ag_await
    return step.gi_frame, step.gi_yieldfrom


def _behind(awaited: object) -> object:
    """Look through the objects that stand for ``__anext__()`` and ``__await__()``, which have no public attributes."""
    if awaited is None or isinstance(awaited, _Suspended) or inspect.isclass(awaited):
        return awaited
    return next((each for each in gc.get_referents(awaited) if isinstance(each, _Suspended)), None)


# Reporting

_logged: dict[CallSite, tuple[float, int]] = {}  # block -> (time it was last logged, times unlogged since then)


def _report(block: CallSite, task: asyncio.Task[Any] | None, seconds: float) -> None:
    if not (count := _times_to_log(block)):
        return
    frame = find_await(task) if task is not None else None
    times = f" ({count} times since it was last logged)" if count > 1 else ""
    if frame is None:
        place, source = None, ""
        where = "without using it"
    else:
        place, source = CallSite(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname), expression(frame)
        where = f"while awaiting at {place}{f' ({source})' if source else ''}"
    fields = {
        "block": block._asdict(),
        "awaiting": place and place._asdict(),
        "expression": source,
        "seconds": seconds,
        "count": count,
    }
    logger.warning(_IDLE, block, seconds, where, times, extra={"idle_transaction": fields})


def _times_to_log(block: CallSite) -> int:
    """Return the number of times since it was last logged, this one included; 0 if that was not long ago."""
    now = time.monotonic()
    if block not in _logged and len(_logged) >= MAX_ORIGINS:
        _logged.clear()
    last, unlogged = _logged.get(block, (float("-inf"), 0))
    is_due = now - last >= INTERVAL
    _logged[block] = (now, 0) if is_due else (last, unlogged + 1)
    return unlogged + 1 if is_due else 0


_IDLE = "The atomic block at %s has held its connection for %.1f s %s.%s Move the wait before or after the block."
