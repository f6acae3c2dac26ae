"""One request with a key: from its claim to the stored response or the release of the key.

Where the store takes part in the view's transaction, response and effect are committed together, or not at all.
Elsewhere the response is written after the effect has been committed, and the lease is renewed until then. If the
process is killed in between, the effect remains, and the retry has a second one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import ProgrammingError
from django.db.transaction import TransactionManagementError

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests
from daf_orm.metrics import Counter
from daf_views._core.cancellation import shielded
from daf_views._core.logs import log_error
from daf_views.exceptions import APIError, ServiceUnavailableError
from daf_views.idempotency.exceptions import InFlightError, ReusedKeyError
from daf_views.idempotency.lease_renewal import Renewal
from daf_views.idempotency.stored_response import StoredResponse, is_final
from daf_views.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from django.http.response import HttpResponseBase

    from daf_views.idempotency.stores import Claim, Record, Store

    Work = Callable[[], Awaitable[HttpResponseBase]]

T = TypeVar("T")

_NOT_ASKED = (APIError, PoolTimeout, TooManyRequests, PoolClosed)
"""Errors of a store that has written nothing; each has its own response."""
_BUGS = (ImproperlyConfigured, ImportError, ProgrammingError, TransactionManagementError, AttributeError, TypeError)
"""Errors in the use of a store, not failures of it: a retry will not help."""
_requests = Counter(
    "daf_idempotency_requests_total",
    "Requests with an Idempotency-Key, by outcome. The response was stored, or could not be (unstored). The key was "
    "released for a retry. A stored response was replayed. The key was that of another request (conflict), or of one "
    "in_progress.",
    unit="requests",
    labels=("outcome",),
)
_errors = Counter("daf_idempotency_errors_total", "Failures of the store, each of which was a 503.", unit="errors")


class Attempt:
    """One request with a key: ``await run()``; then, in any case, ``await settle()`` or ``abandon()``.

    Where the view has a transaction, ``run()`` is around it and ``record()`` is in it.
    """

    def __init__(self, store: Store, max_size: int, claim: Callable[[], Awaitable[Claim]]) -> None:
        self._store = store
        self._max_size = max_size
        self._make_claim = claim
        self._claim: Claim | None = None
        """None before there is a claim, and after it has been lost or answered."""
        self._renewal: Renewal | None = None
        self._may_have_had_effect = False
        self._is_joined = False
        """True if the response is written in the transaction of the view."""

    async def run(self, aliases: Sequence[str], work: Work) -> HttpResponseBase:
        """Do the work, or return the stored response. ``aliases`` are the databases of its transactions.

        Raises InFlightError, ReusedKeyError or AnswerNotKeptError; ServiceUnavailableError if the store cannot answer.
        """
        claim = self._claim = await self._make_claim()
        try:
            record = await _asked(self._store.claim(claim))
        except _NOT_ASKED:
            self._claim = None
            raise
        if record is not None:
            self._claim = None
            return _replayed(record, claim)
        if self._store.joins(aliases):
            return await self._run_joined(work)
        return await self._run_apart(claim, work)

    async def record(self, work: Work) -> HttpResponseBase:
        """Do the work in the transaction of the view, and write the response there if the store takes part in it."""
        if not self._is_joined or self._claim is None:
            return await work()
        if not await _asked(self._store.hold(self._claim)):  # it took longer than the lease to get here
            raise InFlightError
        response = await work()
        # In the transaction, which any error from here on rolls back.
        if is_final(response.status_code) and not await _asked(self._finish(self._claim, response)):
            raise InFlightError
        return response

    async def settle(self, response: HttpResponseBase) -> None:
        """Store the response if the error would recur; otherwise release the key."""
        if self._claim is None:
            return
        if is_final(response.status_code):
            await shielded(self._keep(self._claim, response))
        else:
            await shielded(self._release(self._claim))

    async def abandon(self, error: BaseException) -> None:
        """Release the key if no response is made of the error; not if a cancellation may have come too late."""
        is_undone = isinstance(error, asyncio.CancelledError) and not self._may_have_had_effect
        # After a GeneratorExit, or at the end of the process, nothing can be awaited: the lease expires.
        if self._claim is not None and (is_undone or isinstance(error, Exception)):
            await shielded(self._release(self._claim))

    async def _run_joined(self, work: Work) -> HttpResponseBase:
        self._is_joined = True
        response = await work()
        if is_final(response.status_code):
            self._claim = None
            _requests.add("stored")
        return response

    async def _run_apart(self, claim: Claim, work: Work) -> HttpResponseBase:
        # Made before a transaction of the view begins, its task takes no part in that.
        self._renewal = Renewal(self._store, claim)
        self._may_have_had_effect = True
        try:
            response = await work()
        finally:
            self._renewal.stop()
        if is_final(response.status_code):
            await shielded(self._keep(claim, response))
        return response

    def _finish(self, claim: Claim, response: HttpResponseBase) -> Awaitable[bool]:
        return self._store.finish(claim, StoredResponse.of(response, self._max_size))

    async def _keep(self, claim: Claim, response: HttpResponseBase) -> None:
        """Write the response. It is sent even if that fails: a 5xx would deny the effect."""
        self._claim = None
        if self._renewal is not None:  # in a cache, a renewal under way would shorten the TTL of the response
            await self._renewal.stopped()
        try:
            is_kept = await self._finish(claim, response)
        except Exception as error:  # noqa: BLE001 - any error of a store's client; logged
            _requests.add("unstored")
            await log_error("The response to a request with an Idempotency-Key could not be stored.", error=error)
        else:
            _requests.add("stored" if is_kept else "unstored")
            if not is_kept and self._may_have_had_effect:
                await log_error(_LOST)

    async def _release(self, claim: Claim) -> None:
        self._claim = None
        _requests.add("released")
        try:
            async with asyncio.timeout(claim.lease):  # after that the lease has expired
                await self._store.release(claim)
        except Exception as error:  # noqa: BLE001 - any error of a store's client; logged
            await log_error("The claim of an Idempotency-Key could not be released.", error=error)


async def _asked(call: Awaitable[T]) -> T:
    """Return the result of a store's call. Raises ServiceUnavailableError if it fails, except for bugs and overload."""
    try:
        return await call
    except (*_NOT_ASKED, *_BUGS):
        raise
    except Exception as error:  # any error of a store's client; logged
        _errors.add()
        await log_error("The store of idempotency keys failed, and a request was answered 503.", error=error)
        raise ServiceUnavailableError(retry_after=get_settings().RETRY_AFTER, code="idempotency_unavailable") from error


def _replayed(record: Record, claim: Claim) -> HttpResponseBase:
    if record.fingerprint != claim.fingerprint:
        _requests.add("conflict")
        raise ReusedKeyError
    if record.answer is None:
        _requests.add("in_progress")
        raise InFlightError
    response = record.answer.replay()
    _requests.add("replayed")
    return response


_LOST = (
    "The lease of an Idempotency-Key expired before its request ended: a second request may have been carried out too."
)
