"""Rows that are put into lists and dictionaries are followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orm.static.checking import codes

HEAD = """
    from asgiref.sync import sync_to_async
    from django.apps import apps
    def load(books):
        for book in books:
            book.author = None
    def warm(book):
        return book.author
    async def fetched():
        return [book async for book in Book.objects.all()]
    async def stream():
        async for book in Book.objects.all():
            yield book
    async def view(request):
        books, by_pk, loaded = [], {}, await Book.objects.select_related("author").aget()
        async for book in Book.objects.all():
            ROW
        LINE
"""


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("books.append(book)", "return [book.author for book in books]"),
        ("books += [book]", "return books[0].author"),
        ("books.extend([book])", "return books[0].author"),
        ("books.append(book)", "for each in sorted(books + [], key=id):\n            each.author"),
        ("by_pk[book.pk] = book", "return by_pk[1].author"),
        ("by_pk[book.pk] = book", "for each in by_pk.values():\n            each.author"),
        ("by_pk[book.pk] = book", "for pk, each in by_pk.items():\n            each.author"),
        ("pass", "return {1: book}[request].author"),
        ("pass", "books = await fetched() + await fetched()\n        return books[0].author"),
        ("pass", "return (await anext(aiter(stream()))).author"),
        ("pass", "return (await anext(aiter(Book.objects.all()))).author"),
        ("pass", "return (await apps.get_model('shop', 'Book').objects.aget()).author"),
        ("pass", "return (await apps.get_model('shop.Book').objects.aget()).author"),
    ],
)
def test_a_row_that_was_put_in_is_known(row: str, line: str, tmp_path: Path) -> None:
    assert codes(tmp_path, HEAD.replace("ROW", row).replace("LINE", line)) == ["DAF020"]


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("books.append(book)", "load(books)\n        return books[0].author"),
        ("books.append(book)", "await sync_to_async(load)(books)\n        return books[0].author"),
        ("books.append(book)\n            book.author = None", "return books[0].author"),
        ("books.append(book)\n            await sync_to_async(warm)(book)", "return books[0].author"),
        ("by_pk[book.pk] = book\n            book.author = None", "return by_pk[1].author"),
        ("books.append(book.title)", "return books[0].author"),
        ("books.extend(request.books)", "return books[0].author"),
        ("books.append(loaded)", "return books[0].author"),
        ("by_pk[1] = request", "return by_pk[1].author"),
        ("pass", "books.append(loaded)\n        books += request.books\n        return books[0].author"),
        ("pass", "return request.GET['book'].author"),
    ],
)
def test_of_a_row_that_was_loaded_or_is_not_known_nothing_is_said(row: str, line: str, tmp_path: Path) -> None:
    assert codes(tmp_path, HEAD.replace("ROW", row).replace("LINE", line)) == []
