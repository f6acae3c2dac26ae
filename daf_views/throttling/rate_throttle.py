"""``AsyncRateThrottle``: a limit of requests per time."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from daf_views.exceptions import ThrottledError
from daf_views.throttling.algorithms.gcra import GCRA
from daf_views.throttling.algorithms.sliding_window import SlidingWindow
from daf_views.throttling.headers import PROBLEM_TYPE, note_quotas, quoted
from daf_views.throttling.operations import Take
from daf_views.throttling.rates import Rate
from daf_views.throttling.throttle import AsyncThrottle, requests

if TYPE_CHECKING:
    from django.http import HttpRequest

    from daf_views.throttling.quota import Hit, Policy

Rates = str | Sequence[str]
Tier = Callable[[Any], str | Awaitable[str]]
_ALL = ""

ALGORITHMS: Mapping[str, type[Any]] = {kind.name: kind for kind in (GCRA, SlidingWindow)}
"""Names that ``algorithm`` takes."""


class AsyncRateThrottle(AsyncThrottle):
    """Lets through ``rate`` requests of each key: ``AsyncRateThrottle("10/minute")``.

    Several rates, ``["10/second", "1000/day"]``, are counted in one step: a request that one of them refuses uses up
    none. ``algorithm`` is ``"gcra"``, which lets a limit through at once and then evenly more: up to twice as many
    in one period as it says. Or it is ``"sliding-window"``, which never lets through more than the limit in any period.
    A mapping of rates is one for each ``tier``, a function of the request, sync or async, that returns a name of it;
    None as a rate is no limit. Other options: see :class:`~daf_views.throttling.throttle.AsyncThrottle`. Raises
    ValueError for an invalid rate.
    """

    rate: Rates | Mapping[str, Rates | None] | None = None
    algorithm: str = GCRA.name
    tier: Tier | None = None

    def __init__(
        self,
        rate: Rates | Mapping[str, Rates | None] | None = None,
        *,
        algorithm: str | None = None,
        tier: Tier | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.rate = self.rate if rate is None else rate
        self.algorithm = self.algorithm if algorithm is None else algorithm
        # As it stands in the class: a function there must not be bound.
        given = inspect.getattr_static(self, "tier") if tier is None else tier
        self._tier: Tier | None = given.__func__ if isinstance(given, staticmethod) else given
        self._limits = _limits(type(self), self.rate, self._tier, self.scope, self.algorithm)

    async def check(self, request: HttpRequest, view: Any = None) -> None:
        """Count the request. Raise ThrottledError beyond the rate, ServiceUnavailableError if the backend fails."""
        if (limit := await self._limit_of(request)) is None:
            return
        hit = await self._hit(limit, request, view)
        if hit is not None and not hit.allowed:
            raise _refusal(limit, hit)

    async def hit(self, request: HttpRequest, view: Any = None) -> Hit | None:
        """Count the request and return the remaining quota. None: it is not limited, or not counted and let through."""
        limit = await self._limit_of(request)
        return None if limit is None else await self._hit(limit, request, view)

    async def _hit(self, limit: _RateLimit, request: HttpRequest, view: Any) -> Hit | None:
        key, place = await self._storage_key(request, view, limit.identity)
        if key is None:
            return None
        hit = await self._run(key, limit.take)
        if hit is not None:
            requests.add(place, "allowed" if hit.allowed else "refused")
            note_quotas(request, limit.names, hit.quotas)
        return hit

    async def _limit_of(self, request: HttpRequest) -> _RateLimit | None:
        if self._tier is None:
            return self._limits[_ALL]
        tier = self._tier(request)
        name = await tier if inspect.isawaitable(tier) else tier
        if name not in self._limits:
            known = ", ".join(map(repr, self._limits))
            raise TypeError(f"{type(self).__qualname__}.tier returned {name!r}; the rates are for {known}.")
        return self._limits[name]


class _RateLimit:
    """One or more rates that are counted in one step."""

    __slots__ = ("identity", "names", "take")

    def __init__(self, cls: type, rate: Any, scope: str | None, algorithm: str) -> None:
        policies = _policies(cls, rate, algorithm)
        self.names = _names(scope, rate)
        self.take = Take(policies)
        self.identity = [[policy.name, str(policy.rate)] for policy in policies]


def _limits(cls: type, rate: Any, tier: Any, scope: str | None, algorithm: str) -> dict[str, _RateLimit | None]:
    if isinstance(rate, Mapping) != (tier is not None):
        raise TypeError(
            f'{cls.__qualname__}: rates of several tiers go with a function that names one: rate={{"free": '
            '"60/minute", "pro": "1000/minute"}, tier=lambda request: …'
        )
    rates = rate if isinstance(rate, Mapping) else {_ALL: rate}
    return {
        name: None if each is None and tier is not None else _RateLimit(cls, each, scope, algorithm)
        for name, each in rates.items()
    }


def _refusal(limit: _RateLimit, hit: Hit) -> ThrottledError:
    seconds = math.ceil(hit.retry_after)
    violated = [name for name, quota in zip(limit.names, hit.quotas, strict=True) if not quota.remaining]
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
    """Return the name of the policy for clients: the scope, never the path of a view."""
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
