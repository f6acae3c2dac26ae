"""When a periodic task is due: a schedule is a function of time alone, so that all processes agree on its ticks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from daf_views.tasks.retry_policy import is_number

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = timedelta(days=366)


class Schedule(Protocol):
    """Names the ticks of a periodic task. Its ``str()`` identifies it: another text is another schedule."""

    def next_after(self, moment: datetime) -> datetime:
        """Return the first tick that is later than an aware moment, in UTC."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A tick at a fixed interval, counted from 1970-01-01 00:00 UTC. Made by :func:`every`."""

    length: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """Return the first tick that is later than a moment, in UTC."""
        ticks = (moment.astimezone(UTC) - _EPOCH) // self.length  # timedelta's division is exact
        return _EPOCH + (ticks + 1) * self.length

    def __str__(self) -> str:
        return f"every {self.length.total_seconds():g} s"


def every(*, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> Interval:
    """Return the schedule of a task that is due at a fixed interval: ``every(minutes=5)`` is due at :00, :05, :10.

    Ticks are counted from 1970-01-01 00:00 UTC, so they do not depend on when a worker starts, and summer time does not
    move them. Raises ValueError unless the interval is from 1 second to 366 days.
    """
    parts = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds}
    if not all(is_number(part, int | float) for part in parts.values()):
        raise ValueError(f"every() takes numbers, not {parts}.")
    try:
        length = timedelta(**parts)
    except OverflowError:
        length = timedelta.max
    if not timedelta(seconds=1) <= length <= _LONGEST:
        raise ValueError(f"The interval of every() must be from 1 second to 366 days, not {length}.")
    return Interval(length)
