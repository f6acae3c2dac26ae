"""States in a Django cache, by the one call that every cache makes atomic: ``add()``.

A cache can neither compare and set, nor tell which value it replaced. But of several concurrent ``add()`` calls for
one key, one succeeds. So each state of a key is a separate, numbered entry. A request that adds number n + 1 has read
number n, with no other state in between; one whose ``add()`` fails reads again. That costs five calls for a request
that is let through, and two for one that is not. A Redis server is better used by
:mod:`~daf_views.throttling.backends.redis`, which needs one.

The entry under the key itself holds the newest number, as a hint. It may lag behind, by the number of processes that
have added a state and not yet updated the hint. Superseded entries stay for ``GRACE`` seconds, for requests that are
still reading them. A request that has stood still for half of that reads again, and writes no hint, which would lead
others to missing entries. A process that stands still for as long between looking at the clock and the call that
follows may still do harm: the key is then counted anew.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import BaseCache
from django.core.exceptions import ImproperlyConfigured

from daf_views._core.cancellation import in_time
from daf_views._core.clock import wall_clock
from daf_views._core.shared_state import SharedCache
from daf_views.exceptions import ThrottleBackendError
from daf_views.throttling.backends.base import Backend

if TYPE_CHECKING:
    from daf_views._core.clock import Clock
    from daf_views.settings import Settings
    from daf_views.throttling.operations import Operation, R
    from daf_views.throttling.quota import State

GRACE = 60
AHEAD = 10
"""Numbers that are looked at from the hint on: the newest state is among them, or there is another look."""
ATTEMPTS = 100


class CacheBackend(Backend):
    """States in the cache ``alias``. Raises ImproperlyConfigured for one in which counts would go wrong or get lost."""

    def __init__(self, alias: str = "default", *, prefix: str = "daf-throttle:", clock: Clock = wall_clock) -> None:
        self._cache = SharedCache(alias, setting="THROTTLE_LOCATION")
        self._prefix = prefix
        self._clock = clock
        _refuse_unfit(self._cache)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one whose alias is ``THROTTLE_LOCATION``, ``"default"`` if that is not set."""
        return cls(settings.THROTTLE_LOCATION or "default", prefix=settings.THROTTLE_PREFIX)

    async def run(self, key: str, operation: Operation[R], *, timeout: float) -> R:
        """Run the operation in a thread."""
        return await in_time(sync_to_async(self._change, thread_sensitive=False)(key, operation), timeout)

    def _change(self, key: str, operation: Operation[R]) -> R:
        cache, key = self._cache.get(), self._prefix + key
        number = cache.get(key, 0)
        for _ in range(ATTEMPTS):
            started = time.monotonic()
            number, state = _newest(cache, key, number)
            now = self._clock()
            change = operation.apply(state, now)
            if change.state is None:
                return change.result
            if time.monotonic() - started > GRACE / 2:
                continue
            lifetime = max(0, change.expires - now) // 1_000_000 + 1 + GRACE
            if cache.add(f"{key}:{number + 1}", change.state, lifetime):
                if time.monotonic() - started < GRACE / 2:
                    cache.set(key, number + 1, lifetime + GRACE)
                cache.touch(f"{key}:{number}", GRACE)
                return change.result
        raise ThrottleBackendError(
            f"Concurrent requests were faster {ATTEMPTS} times in a row in the cache {self._cache.alias!r}."
        )


def _newest(cache: BaseCache, key: str, number: int) -> tuple[int, State]:
    """Return the number and the state of the newest entry, looking from ``number`` on."""
    found: dict[str, Any] = cache.get_many([f"{key}:{each}" for each in range(number, number + AHEAD)])
    newest = max((int(name.rpartition(":")[2]) for name in found), default=number)
    if newest == number + AHEAD - 1:
        return _newest(cache, key, newest)
    return newest, found.get(f"{key}:{newest}", ())


def _refuse_unfit(cache: SharedCache) -> None:
    if cache.is_per_process:
        raise ImproperlyConfigured(
            f"The cache {cache.name} drops live entries when it is full, and counts in each process separately: "
            'DAF_VIEWS["THROTTLE_BACKEND"] = "memory" does the same without dropping any.'
        )
    if not cache.has_atomic_operations:
        raise ImproperlyConfigured(
            f"The cache {cache.name} has no atomic operations, so requests at the same time would not all be "
            "counted. Use Redis or Memcached, or DAF_VIEWS['THROTTLE_BACKEND'] = 'database'."
        )
