"""The clock that processes agree on."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns microseconds."""


def wall_clock() -> int:
    """Return the microseconds since 1970: what processes agree on, as far as their machines' clocks do."""
    return time.time_ns() // 1000
