from __future__ import annotations

from collections.abc import AsyncIterator

from shop.models import Order, Tenant  # noqa: F401 - for the page


async def new_orders(since: str | None) -> AsyncIterator[Order]:
    """Yield orders as they come in, those after an id."""
    yield Order(pk=since)


class Catalogue:
    @classmethod
    async def aload(cls) -> None:
        """Read it."""

    @classmethod
    async def asave(cls) -> None:
        """Write it."""
