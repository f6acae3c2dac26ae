"""The lease of a claim, renewed for as long as its request is carried out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from daf_views._core.logs import log_error

if TYPE_CHECKING:
    from daf_views.idempotency.stores import Claim, Store


PER_LEASE = 3
"""Renewals per lease, which expires when all of them fail."""


class Renewal:
    """Renews a lease from the moment it is made until it is told to stop."""

    __slots__ = ("_claim", "_store", "_task")

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store = store
        self._claim = claim
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Start no other renewal, and cancel the one under way."""
        self._task.cancel()

    async def stopped(self) -> None:
        """Wait until no renewal is under way."""
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        is_held = True
        while is_held:
            await asyncio.sleep(self._claim.lease / PER_LEASE)
            try:
                is_held = await self._store.renew(self._claim)
            except Exception as error:  # noqa: BLE001 - any error of a store's client; the next may succeed
                await log_error("The lease of an Idempotency-Key could not be renewed.", error=error)
        await log_error(_LOST)


_LOST = (
    "The lease of an Idempotency-Key expired before its request ended, because it was not renewed in time: another "
    "request with the key may be carried out too. Is the event loop blocked, or the pool too small?"
)
