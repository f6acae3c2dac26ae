"""The supplier's price service: another program, which may be slow, or away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from django.conf import settings

from daf_views.exceptions import NotFoundError, ServiceUnavailableError

RETRY_SECONDS = 5
_clients: list[httpx.AsyncClient] = []


@asynccontextmanager
async def open_supplier() -> AsyncIterator[None]:
    """Keep connections to the supplier, from the start of the server to its end."""
    # No time-out: the deadline of a view ends its request, and nothing else waits.
    async with httpx.AsyncClient(base_url=settings.SUPPLIER_URL, timeout=None, trust_env=False) as client:
        _clients.append(client)
        yield
        _clients.remove(client)


async def price_of(isbn: str) -> str:
    """Ask for the price of a book. Raises NotFoundError for one that is not sold there."""
    try:
        answer = await _clients[-1].get(f"/prices/{isbn}")
    except httpx.TransportError:
        raise ServiceUnavailableError("The supplier cannot be reached.", retry_after=RETRY_SECONDS) from None
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise NotFoundError("The supplier does not sell this book.")
    return str(answer.raise_for_status().json()["price"])
