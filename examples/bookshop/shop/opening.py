"""The startup of the shop's server."""

from __future__ import annotations

import logging

from shop.models import Book

logger = logging.getLogger("shop")


async def open_shop() -> None:
    """Ask the database for a book. A server that cannot reach its tables is not to start, rather than answer 500."""
    if not await Book.objects.aexists():
        logger.warning("There are no books. Run `manage.py seed` to fill the shop.")
