"""The result of a hit, and the policies of one throttle applied together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from daf_views.throttling.rates import MICROSECONDS, Rate

State = tuple[int, ...]
"""The state of a key: whole numbers, so that any database can hold it. Empty: nothing."""


class Policy(Protocol):
    """The way one rate is counted: arithmetic on a state, of whole numbers, at a time in microseconds."""

    name: str
    rate: Rate
    step: int
    """Microseconds after which something changes: another request, another slot."""
    size: int
    """The length of its part of a state."""

    def take(self, state: State, now: int) -> State | None:
        """Return the state after one more request, or None if that would be one too many."""

    def measure(self, state: State, now: int) -> tuple[int, int]:
        """Return the number of remaining requests, and the microseconds until there are more."""

    def expiry(self, state: State) -> int:
        """Return the time at which the state expires."""


class Quota(NamedTuple):  # a tuple is made four times as fast as a frozen dataclass, and one is made for each request
    """The remaining quota of one rate after a hit."""

    rate: Rate
    remaining: int
    """Requests that would be let through at once."""
    reset_after: float
    """Seconds until there is more of it; 0 if nothing is used up."""

    @property
    def limit(self) -> int:
        """Requests in a period."""
        return self.rate.limit

    @property
    def retry_after(self) -> float:
        """Seconds until one more request would be let through: 0 if that is now."""
        return 0.0 if self.remaining else self.reset_after


class Hit(NamedTuple):
    """The decision on a request, and the remaining quota of its key, by rate. A refused request is not counted."""

    allowed: bool
    quotas: tuple[Quota, ...]

    @property
    def tightest(self) -> Quota:
        """The quota that refuses, or will be the first to."""
        return max(self.quotas, key=lambda quota: (quota.retry_after, -quota.remaining))

    @property
    def limit(self) -> int:
        """Requests in a period of the tightest rate."""
        return self.tightest.limit

    @property
    def remaining(self) -> int:
        """Requests that would be let through at once."""
        return self.tightest.remaining

    @property
    def reset_after(self) -> float:
        """Seconds until the tightest rate has more."""
        return self.tightest.reset_after

    @property
    def retry_after(self) -> float:
        """Seconds until one more request would be let through: 0 if that is now."""
        return self.tightest.retry_after


def take(policies: Sequence[Policy], state: State, now: int) -> tuple[Hit, State]:
    """Count one request by all policies, or by none if one of them refuses. Return the hit and the state after it."""
    if len(policies) == 1:  # as nearly always: the same, in half the time
        return _take_one(policies[0], state, now)
    ends = [0]
    for policy in policies:
        ends.append(ends[-1] + policy.size)
    before = [state[start:end] for start, end in pairwise(ends)]
    after = [policy.take(part, now) for policy, part in zip(policies, before, strict=True)]
    allowed = None not in after
    parts = [part for part in after if part is not None] if allowed else before
    measures = [policy.measure(part, now) for policy, part in zip(policies, parts, strict=True)]
    return Hit(allowed, quotas(policies, measures)), tuple(number for part in parts for number in part)


def _take_one(policy: Policy, state: State, now: int) -> tuple[Hit, State]:
    after = policy.take(state, now)
    kept = state if after is None else after
    remaining, reset_after = policy.measure(kept, now)
    return Hit(after is not None, (Quota(policy.rate, remaining, reset_after / MICROSECONDS),)), kept


def quotas(policies: Sequence[Policy], measures: Sequence[tuple[int, int]]) -> tuple[Quota, ...]:
    """Return the quotas that policies have measured, whose times are microseconds."""
    return tuple(
        Quota(policy.rate, remaining, reset_after / MICROSECONDS)
        for policy, (remaining, reset_after) in zip(policies, measures, strict=True)
    )
