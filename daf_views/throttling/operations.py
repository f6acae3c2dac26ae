"""Operations on the state of a key, each one atomic step: a backend runs it, and knows no more.

``apply()`` is the arithmetic. Redis does it on the server instead (``backends/redis.lua``): ``arguments`` and
``read()`` are the way there and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from daf_views.throttling.quota import Hit, Policy, State, quotas, take

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Change(NamedTuple, Generic[R_co]):
    """The result of an operation, and the new state."""

    result: R_co
    state: State | None = None
    """None: the state stays unchanged."""
    expires: int = 0
    """The time, in microseconds, at which the state expires."""


class Operation(Protocol[R_co]):
    """One step on the state of a key."""

    @property
    def arguments(self) -> list[str | int]:
        """The operation for a backend that computes elsewhere."""

    def apply(self, state: State, now: int) -> Change[R_co]:
        """Compute the step at a time in microseconds."""

    def read(self, reply: Sequence[int]) -> R_co:
        """Return the result of a computation in the backend."""


class Take:
    """Count one request by every policy, or by none if one of them refuses it."""

    __slots__ = ("arguments", "policies")

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.policies = tuple(policies)
        self.arguments: list[str | int] = ["take"]
        for policy in self.policies:
            self.arguments += [policy.name, policy.rate.limit, policy.step]

    def apply(self, state: State, now: int) -> Change[Hit]:
        """Return the hit, and the state if it was counted."""
        hit, after = take(self.policies, state, now)
        return Change(hit, after, self._expiry(after)) if hit.allowed else Change(hit)

    def read(self, reply: Sequence[int]) -> Hit:
        """Return the hit from: allowed, then for each policy the remaining number, and the time until there is more."""
        allowed, *numbers = reply
        measures = list(zip(numbers[::2], numbers[1::2], strict=True))
        return Hit(bool(allowed), quotas(self.policies, measures))

    def _expiry(self, state: State) -> int:
        expiry = start = 0
        for policy in self.policies:
            expiry = max(expiry, policy.expiry(state[start : start + policy.size]))
            start += policy.size
        return expiry


@dataclass(frozen=True, slots=True)
class Entry:
    """The outcome of a request for one of the slots of a key, and the number of slots taken."""

    allowed: bool
    taken: int


@dataclass(frozen=True, slots=True)
class Enter:
    """Take one of ``limit`` slots for ``hold`` microseconds, or renew it: ``token`` identifies the holder."""

    token: int
    limit: int
    hold: int

    @property
    def arguments(self) -> list[str | int]:
        """The operation for a backend that computes elsewhere."""
        return ["enter", self.token, self.limit, self.hold]

    def apply(self, state: State, now: int) -> Change[Entry]:
        """Return the entry, and the state if there was a slot."""
        places = _places(state, now)
        if self.token not in places and len(places) >= self.limit:
            return Change(Entry(allowed=False, taken=len(places)))
        places[self.token] = now + self.hold
        return _with_places(Entry(allowed=True, taken=len(places)), places)

    def read(self, reply: Sequence[int]) -> Entry:
        """Return the entry from: allowed, taken."""
        return Entry(bool(reply[0]), reply[1])


@dataclass(frozen=True, slots=True)
class Leave:
    """Release a slot."""

    token: int

    @property
    def arguments(self) -> list[str | int]:
        """The operation for a backend that computes elsewhere."""
        return ["leave", self.token]

    def apply(self, state: State, now: int) -> Change[None]:
        """Return the state without the token."""
        places = _places(state, now)
        places.pop(self.token, None)
        return _with_places(None, places)

    def read(self, reply: Sequence[int]) -> None:
        """Return nothing."""


def _places(state: State, now: int) -> dict[int, int]:
    """Return the slots that are held, and until when. A slot that has not been released by then counts as lost."""
    return {token: until for token, until in zip(state[::2], state[1::2], strict=True) if until > now}


def _with_places(result: R, places: dict[int, int]) -> Change[R]:
    state = tuple(number for place in places.items() for number in place)
    return Change(result, state, max(places.values(), default=0))
