from __future__ import annotations

from collections.abc import AsyncIterator

from django.db import models
from shop.models import Order


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


class Tenant(models.Model):
    host = models.CharField(max_length=253)
    orders: models.Manager[Order]
