"""The metrics of the handler, of all event loops: requests in flight, those that wait for a slot, and refused ones."""

from __future__ import annotations

import weakref
from typing import Final, Protocol

from daf_orm.metrics import Computed, Counter


class Limiter(Protocol):
    """The requests of one event loop."""

    def __len__(self) -> int:
        """Return the number of requests that are being answered."""

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a slot."""


_limiters: Final[list[weakref.ref[Limiter]]] = []
REFUSED: Final = Counter(
    "daf_requests_refused_total",
    "Requests that were answered before any middleware, by the code of the problem: overloaded, and others.",
    unit="requests",
    labels=("code",),
)


def watch(limiter: Limiter) -> None:
    """Read the figures of an event loop's limiter from now on."""
    _limiters.append(weakref.ref(limiter, _limiters.remove))


def _living() -> list[Limiter]:
    return [limiter for reference in tuple(_limiters) if (limiter := reference()) is not None]


Computed(
    "daf_requests_in_flight",
    "Requests that are being answered, streams included.",
    kind="gauge",
    unit="requests",
    read=lambda: sum(map(len, _living())),
)
Computed(
    "daf_requests_waiting",
    "Requests that wait for a slot of MAX_IN_FLIGHT.",
    kind="gauge",
    unit="requests",
    read=lambda: sum(limiter.waiting for limiter in _living()),
)
