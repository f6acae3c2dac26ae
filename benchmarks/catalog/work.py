"""The four pieces of work, synchronous and asynchronous. Each returns what its answer is made of.

All but ``many`` are given the primary key of a book.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from benchmarks.catalog import BOOKS, LISTED, in_a_row
from benchmarks.catalog.models import ASYNC_BACKEND, Author, Book

_objects: Any = Book.async_objects if ASYNC_BACKEND else Book.objects


def seed() -> None:
    """Make the tables and fill them; ids run from 1."""
    with connection.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Book)
    authors = Author.objects.bulk_create([Author(name=f"Author {number}") for number in range(10)])
    Book.objects.bulk_create(
        [Book(title=f"Book {number}", author=authors[number % len(authors)]) for number in range(BOOKS)]
    )


def _shown(book: Book) -> dict[str, Any]:
    return {"id": book.pk, "title": book.title, "price": book.price, "created": book.created.isoformat()}


def _with_author(book: Book) -> dict[str, Any]:
    return {**_shown(book), "author": book.author.name}


class Sync:
    """The work in synchronous Django, one step after the other."""

    @staticmethod
    def one(pk: int) -> Any:
        """One row by primary key."""
        return _shown(Book.objects.get(pk=pk))

    @staticmethod
    def many() -> Any:
        """20 rows with their author, by a join."""
        return [_with_author(book) for book in Book.objects.select_related("author").order_by("pk")[:LISTED]]

    @staticmethod
    def gathered(pk: int) -> Any:
        """Five rows, each with a separate query."""
        return [Sync.one(each) for each in in_a_row(pk)]

    @staticmethod
    def change(pk: int) -> Any:
        """Read a row for update, change it and write it, in a transaction."""
        with transaction.atomic():
            book = Book.objects.select_for_update().get(pk=pk)
            book.price += 1
            book.save(update_fields=["price"])
        return _shown(book)


class Async:
    """The same, by the contestant's own means."""

    @staticmethod
    async def one(pk: int) -> Any:
        """One row by primary key."""
        return _shown(await _objects.aget(pk=pk))

    @staticmethod
    async def many() -> Any:
        """20 rows with their author, by a join."""
        return [_with_author(book) async for book in _objects.select_related("author").order_by("pk")[:LISTED]]

    @staticmethod
    async def gathered(pk: int) -> Any:
        """Five rows, each with a separate query, at once."""
        return await asyncio.gather(*[_in_parallel(Async.one(each)) for each in in_a_row(pk)])

    @staticmethod
    async def change(pk: int) -> Any:
        """Read a row for update, change it and write it, in a transaction."""
        return await CHANGES[settings.BENCHMARK_SPELLING](pk)


def _in_parallel(coroutine: Any) -> Any:
    if not ASYNC_BACKEND:
        return coroutine
    return importlib.import_module("django_async_backend.db").async_new_connection(coroutine)


async def _change_by_daf(pk: int) -> Any:
    async with importlib.import_module("daf_orm").transaction.atomic():
        book = await Book.objects.select_for_update().aget(pk=pk)
        book.price += 1
        await book.asave(update_fields=["price"])
    return _shown(book)


async def _change_by_async_backend(pk: int) -> Any:
    async with importlib.import_module("django_async_backend.db.transaction").async_atomic():
        book = await Book.async_objects.select_for_update().aget(pk=pk)
        await Book.async_objects.filter(pk=book.pk).aupdate(price=book.price + 1)
        book.price += 1
    return _shown(book)


async def _change_by_stock(pk: int) -> Any:
    return await importlib.import_module("asgiref.sync").sync_to_async(Sync.change)(pk)


CHANGES = {"daf": _change_by_daf, "async_backend": _change_by_async_backend, "stock": _change_by_stock}
WORK = {
    "one": "one row by primary key",
    "many": "20 rows with a join",
    "gathered": "five rows, gathered",
    "change": "read for update, change and write, in a transaction",
}
