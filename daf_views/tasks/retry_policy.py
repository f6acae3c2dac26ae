"""The attempts of a task: their number, their time limit, and the pauses between them."""

from __future__ import annotations

import logging
import math
import random
from dataclasses import dataclass
from typing import Any

from daf_views.tasks.metrics import RETRIED
from daf_views.tasks.notifier import log_soon

MAX_PAUSE = 3600.0
"""Seconds between two attempts, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The retries of a task that fails: ``retries`` more attempts, each after a longer pause."""

    retries: int = 0
    """Attempts after the first, at most."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubled for each that follows, up to an hour."""
    timeout: float | None = None
    """Seconds that one attempt may take. None: as long as it takes."""
    retry_on: tuple[type[BaseException], ...] = (BaseException,)
    """Exceptions after which it is tried again; after any other it fails at once."""

    def __post_init__(self) -> None:
        if not is_number(self.retries, int) or self.retries < 0:
            raise ValueError(f"retries must be a whole number, 0 or more, not {self.retries!r}.")
        if not is_number(self.backoff, int | float) or self.backoff < 0:
            raise ValueError(f"backoff must be 0 seconds or more, not {self.backoff!r}.")
        if self.timeout is not None and (not is_number(self.timeout, int | float) or self.timeout <= 0):
            raise ValueError(f"timeout must be more than 0 seconds, or None, not {self.timeout!r}.")
        if not (self.retry_on and all(map(_is_exception, self.retry_on))):
            raise ValueError(f"retry_on must be an exception class, or several in a tuple, not {self.retry_on!r}.")

    def allows(self, attempts: int, error: BaseException) -> bool:
        """Return True if another attempt follows so many, the last of which ended with this error."""
        return attempts <= self.retries and isinstance(error, self.retry_on)

    def pause_after(self, attempts: int) -> float:
        """Return the seconds to wait after so many attempts: at random between half of the pause and all of it.

        Tasks that failed together, because a server was down, do not come back together.
        """
        due = min(self.backoff * 2.0 ** min(attempts - 1, 63), MAX_PAUSE)
        return due * random.uniform(0.5, 1.0)  # noqa: S311 - spreads, and keeps no secret


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseException)


def is_number(value: object, kind: object) -> bool:
    """Return True if a value is a finite number of the kind, and not True or False."""
    return isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)  # type: ignore[arg-type] # a type or a union


ONCE = RetryPolicy()
"""One attempt."""


def policy_of(task: Any) -> RetryPolicy:
    """Return the policy of a task: one attempt for those that bring none."""
    policy: RetryPolicy = getattr(task, "policy", ONCE)
    return policy


def log_retry(task: Any, attempts: int, pause: float, error: BaseException) -> None:
    """Log and count that a task will be retried."""
    message = "%s failed (attempt %d of %d) and is retried in %.1f s."
    path, allowed = task.module_path, policy_of(task).retries + 1
    RETRIED.add(path)
    log_soon(logging.WARNING, message, path, attempts, allowed, pause, error=error)
