"""Keys and responses in a Django cache, by ``add()``: of concurrent calls only one succeeds.

The TTL of a claim's entry is its lease. A cache cannot compare and set in one step: a request checks that the claim is
still its own just before it writes a response. And a cache may evict entries early.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

from daf_views._core.cancellation import shielded
from daf_views._core.shared_state import SharedCache
from daf_views.idempotency.exceptions import InFlightError
from daf_views.idempotency.stored_response import StoredResponse
from daf_views.idempotency.stores.base import Claim, Record, Store

if TYPE_CHECKING:
    from daf_views.settings import Settings

ATTEMPTS = 3


class CacheStore(Store):
    """Records in the cache ``alias``. Raises ImproperlyConfigured for one that would give a key to two requests."""

    def __init__(self, alias: str = "default", *, prefix: str = "daf-idempotency:") -> None:
        self._cache = SharedCache(alias, setting="IDEMPOTENCY_LOCATION")
        self._prefix = prefix
        _refuse_unfit(self._cache)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one whose alias is ``IDEMPOTENCY_LOCATION``, ``"default"`` if that is not set."""
        return cls(settings.IDEMPOTENCY_LOCATION or "default", prefix=settings.IDEMPOTENCY_PREFIX)

    async def claim(self, claim: Claim) -> Record | None:
        """Add an entry."""
        result: Record | None = await self._run(self._claim, claim)
        return result

    async def renew(self, claim: Claim) -> bool:
        """Let the entry live longer."""
        return bool(await self._run(self._renew, claim))

    async def finish(self, claim: Claim, answer: StoredResponse) -> bool:
        """Replace the entry by the answer."""
        return bool(await self._run(self._finish, claim, answer))

    async def release(self, claim: Claim) -> None:
        """Delete the entry."""
        await self._run(self._release, claim)

    async def _run(self, func: Any, *args: Any) -> Any:
        # To the end: a call that is still under way in its thread would come after the release of a cancelled request.
        return await shielded(sync_to_async(func, thread_sensitive=False)(*args))

    def _claim(self, claim: Claim) -> Record | None:
        cache, name = self._cache.get(), self._prefix + claim.key
        for _ in range(ATTEMPTS):  # an entry that kept add() from succeeding may be gone when it is read
            if cache.add(name, (claim.token, claim.fingerprint), math.ceil(claim.lease)):
                return None
            if (entry := cache.get(name)) is not None:
                return _record(*entry)
        raise InFlightError

    def _renew(self, claim: Claim) -> bool:
        cache = self._cache.get()
        return self._is_own(claim) and cache.touch(self._prefix + claim.key, math.ceil(claim.lease))

    def _finish(self, claim: Claim, answer: StoredResponse) -> bool:
        if not self._is_own(claim):
            return False
        entry = (claim.token, claim.fingerprint, answer.status, answer.headers, answer.body)
        self._cache.get().set(self._prefix + claim.key, entry, math.ceil(claim.ttl))
        return True

    def _release(self, claim: Claim) -> None:
        if self._is_own(claim):
            self._cache.get().delete(self._prefix + claim.key)

    def _is_own(self, claim: Claim) -> bool:
        return bool(self._cache.get().get(self._prefix + claim.key) == (claim.token, claim.fingerprint))


def _record(token: str, fingerprint: str, status: int | None = None, *kept: Any) -> Record:  # noqa: ARG001 - of an entry
    if status is None:
        return Record(fingerprint=fingerprint, answer=None)
    headers, body = kept
    return Record(fingerprint=fingerprint, answer=StoredResponse(status=status, headers=headers, body=body))


def _refuse_unfit(cache: SharedCache) -> None:
    if cache.is_per_process and not django_settings.DEBUG:
        raise ImproperlyConfigured(
            f"The cache {cache.name} is local to each process, so another one would carry out a request again. Use "
            "Redis or Memcached, or DAF_VIEWS['IDEMPOTENCY_STORE'] = 'database'."
        )
    if not cache.has_atomic_operations:
        raise ImproperlyConfigured(
            f"The cache {cache.name} has no atomic operations, so of two requests at the same time both would be "
            "carried out. Use Redis or Memcached, or DAF_VIEWS['IDEMPOTENCY_STORE'] = 'database'."
        )
