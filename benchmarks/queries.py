"""The three measured queries, spelled the way each contestant's users spell them.

Imported in a worker only, after its settings are in force.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
from functools import cache
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections

from benchmarks.library.models import Book
from benchmarks.library.seeding import BOOKS

GATHERED = 5
LISTED = 20
QUERIES = ("aget", "list", "gather")

_ids = itertools.cycle(range(1, BOOKS + 1))


class StockQueries:
    """Django's own async methods."""

    objects: ClassVar[Any] = Book.objects

    async def run(self, query: str) -> int:
        """Run the query called ``query`` once; return the number of rows."""
        return await getattr(self, query)()

    async def aget(self) -> int:
        """One row by primary key."""
        await self.objects.aget(pk=next(_ids))
        return 1

    async def list(self) -> int:
        """20 rows."""
        return len([book async for book in self.objects.order_by("pk")[:LISTED]])

    async def gather(self) -> int:
        """Five rows, each with a separate query, asked for at the same time."""
        return sum(await asyncio.gather(*(self.aget() for _ in range(GATHERED))))

    async def close(self) -> None:
        """End what a request holds, as its end does."""
        await sync_to_async(connections.close_all)()

    async def shut_down(self) -> None:
        """Close every connection of the process."""
        await self.close()
        for connection in connections.all():
            if getattr(connection, "pool", None):
                await sync_to_async(connection.close_pool)()


class DafQueries(StockQueries):
    """``AsyncManager``."""

    def __init__(self) -> None:
        manager = importlib.import_module("daf_orm").AsyncManager()
        Book.add_to_class("async_books", manager)
        self.objects = Book.async_books

    async def list(self) -> int:
        """20 rows."""
        return len(await self.objects.order_by("pk")[:LISTED].alist())

    async def close(self) -> None:
        """A request holds nothing: each call gave its lease back."""

    async def shut_down(self) -> None:
        """Close the pool."""
        await importlib.import_module("daf_orm").get_pool().aclose()


class AsyncBackendQueries(StockQueries):
    """django-async-backend: a connection belongs to the task that first used it."""

    def __init__(self) -> None:
        self._db = importlib.import_module("django_async_backend.db")
        self.objects = Book.async_objects

    async def gather(self) -> int:
        """Its way to run queries at the same time: a new connection for each."""
        own = self._db.async_new_connection
        return sum(await asyncio.gather(*(own(self.aget()) for _ in range(GATHERED))))

    async def close(self) -> None:
        """Do what its ``request_finished`` receiver does."""
        await self._db.close_old_async_connections()

    async def shut_down(self) -> None:
        """Close the connection and the pool."""
        await self.close()
        await self._db.async_connections["default"].close_pool()


@cache
def get_queries() -> StockQueries:
    """Return the queries of this worker's contestant."""
    spelling: type[StockQueries] = globals()[settings.BENCHMARK_QUERIES]
    return spelling()
