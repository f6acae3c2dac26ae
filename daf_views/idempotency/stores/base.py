"""The interface of a store: give a key to one request, and keep the response to it."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daf_views.idempotency.stored_response import StoredResponse
    from daf_views.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right of a request to be carried out under a key, for as long as its lease."""

    key: str
    """64 hexadecimal digits."""
    fingerprint: str
    """64 hexadecimal digits."""
    lease: float
    """Seconds after which others may take the key."""
    ttl: float
    """Seconds for which the response is stored."""
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    """Tells this claim from others for the same key, earlier or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The record of a key that another request has, or had."""

    fingerprint: str
    answer: StoredResponse | None
    """None as long as the request is in flight."""


class Store(ABC):
    """Keeps claims and responses. One object serves all event loops and threads.

    A claim that is no longer held changes nothing: ``hold``, ``renew`` and ``finish`` return False, ``release`` does
    nothing. A key is free again when the lease of a claim, or the TTL of a response, has expired.
    """

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the store that ``DAF_VIEWS`` describes. Raise ImproperlyConfigured if it cannot be."""

    def joins(self, aliases: Sequence[str]) -> bool:  # noqa: ARG002 - for those that can
        """Return True if :meth:`hold` and :meth:`finish` take part in transactions on these databases."""
        return False

    @abstractmethod
    async def claim(self, claim: Claim) -> Record | None:
        """Take the key, if it is free. Return None if it was, otherwise its record."""

    async def hold(self, claim: Claim) -> bool:
        """Keep the key until the transaction ends. Only for a store that joins it."""
        raise NotImplementedError

    @abstractmethod
    async def renew(self, claim: Claim) -> bool:
        """Renew the lease."""

    @abstractmethod
    async def finish(self, claim: Claim, answer: StoredResponse) -> bool:
        """Store the response. Once that is committed the key is not claimed again before the response expires."""

    @abstractmethod
    async def release(self, claim: Claim) -> None:
        """Release the key. A response stays."""
