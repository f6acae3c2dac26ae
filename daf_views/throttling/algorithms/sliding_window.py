"""A sliding window of counters: never more than the limit in any span of the period.

The period is cut into ten slots, and each slot counts what it has let through. A request is let through while the
slots that a period reaches into, which are eleven, hold fewer than the limit. So the counters cover the period at
least and eleven tenths of it at most: the price of counters, where a log would need a number for each request.

The usual two-counter approximation weighs the last period by its overlap. It lets through up to twice the limit:
all of a period in its last moment, and all of the next as soon as the weight has gone down.
"""

from __future__ import annotations

from daf_views.throttling.quota import State
from daf_views.throttling.rates import MICROSECONDS, Rate

SLOTS = 10


class SlidingWindow:
    """A rate, counted in slots.

    Its state is the number of the newest slot, then its count and those of the ten before.
    """

    __slots__ = ("rate", "step")

    name = "sliding-window"
    size = SLOTS + 2

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.step = rate.period * MICROSECONDS // SLOTS
        """Microseconds in a slot."""

    def take(self, state: State, now: int) -> State | None:
        """Count one request in the newest slot, if the window holds fewer than the limit."""
        newest, counts = self._slots(state, now)
        if sum(counts) >= self.rate.limit:
            return None
        return (newest, counts[0] + 1, *counts[1:])

    def measure(self, state: State, now: int) -> tuple[int, int]:
        """Return the remaining requests, and the microseconds until the oldest slot in use leaves the window."""
        newest, counts = self._slots(state, now)
        oldest = max((age for age, count in enumerate(counts) if count), default=None)
        reset_after = 0 if oldest is None else (newest - oldest + SLOTS + 1) * self.step - now
        return self.rate.limit - sum(counts), reset_after

    def expiry(self, state: State) -> int:
        """Return the time at which the newest slot leaves the window."""
        return (state[0] + SLOTS + 1) * self.step if state else 0

    def _slots(self, state: State, now: int) -> tuple[int, tuple[int, ...]]:
        """Return the number of the slot of now, and the counts of it and of those before it."""
        current = now // self.step
        if not state:
            return current, (0,) * (SLOTS + 1)
        newest, counts = state[0], state[1:]
        if newest - current > SLOTS:  # a clock that was put back: as far ahead as a slot can be, not for ever
            newest = current + SLOTS
        passed = max(0, min(current - newest, SLOTS + 1))
        return max(newest, current), ((0,) * passed + counts)[: SLOTS + 1]
