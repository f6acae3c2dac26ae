"""``AsyncRateThrottle``: so many requests in so much time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from daf_views.exceptions import ThrottledError
from daf_views.throttling.algorithms.gcra import GCRA
from daf_views.throttling.algorithms.sliding_window import SlidingWindow
from daf_views.throttling.headers import PROBLEM_TYPE, note_quotas, quoted
from daf_views.throttling.operations import Take
from daf_views.throttling.rates import Rate
from daf_views.throttling.throttle import AsyncThrottle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.http import HttpRequest

    from daf_views.throttling.quota import Hit, Policy

ALGORITHMS: Mapping[str, type[Any]] = {kind.name: kind for kind in (GCRA, SlidingWindow)}
"""Names that ``algorithm`` takes."""


class AsyncRateThrottle(AsyncThrottle):
    """Lets through ``rate`` requests of each key: ``AsyncRateThrottle("10/minute")``.

    Several rates, ``["10/second", "1000/day"]``, are counted in one step: a request that one of them refuses uses up
    none. ``algorithm`` is ``"gcra"``, which lets a limit through at once and then evenly more, so up to twice as many
    in one period as it says; or ``"sliding-window"``, which never lets through more than the limit in any period.
    Other options: see :class:`~daf_views.throttling.throttle.AsyncThrottle`. Raises ValueError for a rate that is none.
    """

    rate: str | Sequence[str] | None = None
    algorithm: str = GCRA.name

    def __init__(
        self, rate: str | Sequence[str] | None = None, *, algorithm: str | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.rate = self.rate if rate is None else rate
        self.algorithm = self.algorithm if algorithm is None else algorithm
        self._policies = _policies(type(self), self.rate, self.algorithm)
        self._names = _names(self.scope, self.rate)
        self._take = Take(self._policies)

    async def check(self, request: HttpRequest, view: Any = None) -> None:
        """Count the request. Raise ThrottledError if it is one too many, ServiceUnavailableError if nobody can say."""
        hit = await self.hit(request, view)
        if hit is not None and not hit.allowed:
            raise self._refusal(hit)

    async def hit(self, request: HttpRequest, view: Any = None) -> Hit | None:
        """Count the request and return what is left. None: it is not limited, or not counted and let through."""
        key = await self._storage_key(request, view)
        hit = None if key is None else await self._run(key, self._take)
        if hit is not None:
            note_quotas(request, self._names, hit.quotas)
        return hit

    def _identity(self) -> Sequence[Any]:
        return [[policy.name, str(policy.rate)] for policy in self._policies]

    def _refusal(self, hit: Hit) -> ThrottledError:
        seconds = math.ceil(hit.retry_after)
        violated = [name for name, quota in zip(self._names, hit.quotas, strict=True) if not quota.remaining]
        return ThrottledError(
            f"Too many requests. Try again in {seconds} s.",
            type=PROBLEM_TYPE,
            retry_after=seconds,
            **{"violated-policies": violated},
        )


def _policies(cls: type, rate: Any, algorithm: str) -> tuple[Policy, ...]:
    if not rate:
        raise TypeError(f'{cls.__qualname__} has no rate: write `rate = "10/minute"`, or {cls.__name__}("10/minute").')
    if algorithm not in ALGORITHMS:
        known = ", ".join(map(repr, ALGORITHMS))
        raise ValueError(f"{cls.__qualname__}.algorithm must be one of {known}, not {algorithm!r}.")
    return tuple(ALGORITHMS[algorithm](Rate.parse(text)) for text in _texts(rate))


def _names(scope: str | None, rate: Any) -> tuple[str, ...]:
    """Return what clients read: the scope, which is given for that; never the path of a view."""
    texts = _texts(rate)
    names = texts if scope is None else [scope] if len(texts) == 1 else [f"{scope} {text}" for text in texts]
    for name in names:
        quoted(name)
    return tuple(names)


def _texts(rate: Any) -> list[str]:
    texts = [rate] if isinstance(rate, str) else rate
    if not (isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts)):
        raise TypeError(f'A rate is text like "10/minute", or a list of such texts, not {rate!r}.')
    return list(texts)
