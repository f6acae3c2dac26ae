"""The generic cell rate algorithm: a bucket that leaks evenly, remembered as one point in time.

``"10/minute"`` lets ten requests through at once, and then one every six seconds. In any span of ``w`` seconds it lets
through at most ``limit + w / interval`` requests, rounded up: after a pause, twice the limit in its period.

The state is the *theoretical arrival time*: the moment at which the bucket will have run empty. Source: ITU-T
I.371 (virtual scheduling).
"""

from __future__ import annotations

from daf_views.throttling.quota import State
from daf_views.throttling.rates import MICROSECONDS, Rate


class GCRA:
    """A rate, counted by the generic cell rate algorithm."""

    __slots__ = ("capacity", "rate", "step")

    name = "gcra"
    size = 1

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.step = -(-rate.period * MICROSECONDS // rate.limit)
        """Microseconds in which the bucket loses one request; rounded up, so never sooner than the rate says."""
        self.capacity = self.step * rate.limit

    def take(self, state: State, now: int) -> State | None:
        """Pour one request into the bucket, if there is room."""
        after = self._emptied_at(state, now) + self.step
        return (after,) if after - now <= self.capacity else None

    def measure(self, state: State, now: int) -> tuple[int, int]:
        """Return the number of requests that fit in, and the microseconds until one more does."""
        used = self._emptied_at(state, now) - now
        remaining = (self.capacity - used) // self.step
        return remaining, used - (self.rate.limit - remaining - 1) * self.step if used else 0

    def expiry(self, state: State) -> int:
        """Return the time at which the bucket is empty."""
        return state[0] if state else 0

    def _emptied_at(self, state: State, now: int) -> int:
        # Never further away than a full bucket: otherwise a clock that is put back would lock all clients out for as
        # long.
        return min(max(state[0], now), now + self.capacity) if state else now
