"""Rates as people write them: ``"10/minute"``, ``"5/second"``, ``"3/10s"``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_SECONDS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600}
_SECONDS |= {"d": 86400, "day": 86400}
_RATE = re.compile(r"\s*([0-9]+)\s*/\s*([0-9]*)\s*([a-z]+?)s?\s*", re.IGNORECASE)
_MAX_PERIOD = 366 * 86400
MICROSECONDS = 1_000_000
"""Times are counted in whole microseconds, so that every backend computes the same."""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` requests per ``period`` seconds."""

    limit: int
    period: int

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(
                f"A rate lets at least 1 request through, not {self.limit}: to refuse all, use a permission."
            )
        if not 1 <= self.period <= _MAX_PERIOD:
            raise ValueError(f"A rate is for 1 second to {_MAX_PERIOD} (a year), not {self.period}.")
        if self.limit > self.period * MICROSECONDS:
            raise ValueError(f"{self.limit} requests in {self.period} s are more than one per microsecond: no limit.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate that is written: a number, a slash, and a unit with or without a number before it.

        Units are second, minute, hour and day, also shortened (``s``, ``min``, ``h``) and in the plural. Raises
        ValueError for any other text.
        """
        match = _RATE.fullmatch(text)
        seconds = _SECONDS.get(match[3].lower()) if match else None
        if match is None or seconds is None:
            raise ValueError(f'{text!r} is not a rate. Write one like "10/minute", "5/second", "100/hour" or "3/10s".')
        return cls(int(match[1]), int(match[2] or 1) * seconds)

    def __str__(self) -> str:
        return f"{self.limit}/{self.period}s"
