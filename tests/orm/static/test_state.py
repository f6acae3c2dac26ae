"""Rows that one method leaves in ``self`` for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orm.static.checking import codes, findings

CLASS = """
from asgiref.sync import sync_to_async
from django.db.models import aprefetch_related_objects


class Page:
    async def load(self, pk):
        {load}

    {more}

    async def show(self):
        return self.book.author.name
"""


def page(load: str, more: str = "pass") -> str:
    return CLASS.format(load=load, more=more)


@pytest.mark.parametrize(
    "load",
    [
        "self.book = await Book.objects.aget(pk=pk)",
        "self.book: Book = await Book.objects.aget(pk=pk)",
        "book = await Book.objects.aget(pk=pk)\n        self.book = book",
        "rows = Book.objects.filter(pk=pk)\n        self.book = await rows.aget()",
        "self.book = await find(pk)",
        "self.book = await self.find(pk)",
        "self.book = None\n        self.book = await Book.objects.aget(pk=pk)",
    ],
)
def test_a_row_that_another_method_has_fetched_has_what_it_was_fetched_with(load: str, tmp_path: Path) -> None:
    more = "async def find(self, pk):\n        return await Book.objects.aget(pk=pk)"
    source = f"async def find(pk):\n    return await Book.objects.aget(pk=pk)\n{page(load, more)}"

    (found,) = findings(tmp_path, source)

    assert (found.code, found.expression, found.function) == ("DAF020", "self.book.author", "Page.show")


def test_a_class_says_which_row_it_holds_and_a_method_how_it_is_fetched(tmp_path: Path) -> None:
    source = page("self.book = await Book.objects.aget(pk=pk)", "book: Book")

    assert codes(tmp_path, source) == ["DAF020"]


@pytest.mark.parametrize(
    ("load", "more"),
    [
        ('self.book = await Book.objects.select_related("author").aget(pk=pk)', "pass"),
        ("self.book = await unknown(pk)", "pass"),
        ("self.book = await Book.objects.aget(pk=pk)", "def put(self, book: Book):\n        self.book = book"),
        ("self.book = await Book.objects.aget(pk=pk)", "def put(self, books):\n        for self.book in books: pass"),
        ("self.book = await Book.objects.aget(pk=pk)", "def put(self, books):\n        self.book, _ = books"),
        ("self.book = await Book.objects.aget(pk=pk)", "def put(self, author):\n        self.book.author = author"),
        (
            "self.book = await Book.objects.aget(pk=pk)",
            'async def warm(self):\n        await aprefetch_related_objects([self.book], "author")',
        ),
        (
            "self.book = await Book.objects.aget(pk=pk)",
            "async def warm(self):\n        await sync_to_async(lambda: self.book.author)()",
        ),
        (
            "self.book = await Book.objects.aget(pk=pk)",
            "async def warm(self):\n        await sync_to_async(work)(self.book)",
        ),
        (
            "self.book = await Book.objects.aget(pk=pk)\n        await sync_to_async(self._warm)()",
            "def _warm(self):\n        return self.book.author",
        ),
        (
            "self.book = await Book.objects.aget(pk=pk)",
            "@sync_to_async\n    def _warm(self):\n        return self.book.author",
        ),
    ],
)
def test_an_attribute_that_is_not_certain_has_no_findings(load: str, more: str, tmp_path: Path) -> None:
    assert codes(tmp_path, page(load, more)) == []


def test_a_row_that_is_set_from_outside_is_not_known(tmp_path: Path) -> None:
    source = page("self.book = await Book.objects.aget(pk=pk)")
    source += "\nasync def put(page, book):\n    page.book = book\n"

    assert codes(tmp_path, source) == []


def test_two_ways_to_fetch_a_row_leave_what_neither_has_loaded(tmp_path: Path) -> None:
    more = 'async def other(self):\n        self.book = await Book.objects.select_related("author").aget()'

    assert codes(tmp_path, page("self.book = await Book.objects.aget(pk=pk)", more)) == []
    assert codes(tmp_path, page("self.book = await Book.objects.aget(pk=pk)", more.replace("author", "publisher"))) == [
        "DAF020"
    ]


def test_a_row_that_a_base_class_fetched_is_known_in_its_subclass(tmp_path: Path) -> None:
    source = page("self.book = await Book.objects.aget(pk=pk)").replace("self.book.author.name", "None")
    source += "\nclass Detail(Page):\n    async def author(self):\n        return self.book.author\n"

    (found,) = findings(tmp_path, source)

    assert found.function == "Detail.author"


def test_a_relation_that_the_fetching_method_has_loaded_is_not_said_twice(tmp_path: Path) -> None:
    source = page("self.book = await Book.objects.aget(pk=pk)\n        return self.book.author")

    (found,) = findings(tmp_path, source)

    assert found.function == "Page.load"


SERVICE = """
class Service:
    def __init__(self, book, note=None):
        self.book = book
        self.note = note

    def title(self):
        return self.book.author.name


async def view(request):
    {lines}
"""


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("return Service(await Book.objects.aget()).title()", ["DAF020"]),
        ("service = Service(book=await Book.objects.aget())\n    return service.title()", ["DAF020"]),
        ('return Service(await Book.objects.select_related("author").aget()).title()', []),
        ("return Service(Book(author=request.author)).title()", []),
        ("return Service(request.book).title()", []),
    ],
)
def test_an_instance_has_the_row_that_it_is_made_with(lines: str, expected: list[str], tmp_path: Path) -> None:
    assert codes(tmp_path, SERVICE.format(lines=lines)) == expected


def test_a_row_that_another_method_replaces_is_not_known(tmp_path: Path) -> None:
    source = SERVICE.format(lines="return Service(await Book.objects.aget()).title()")
    source = source.replace("    def title", "    def put(self, book):\n        self.book = book\n\n    def title")

    assert codes(tmp_path, source) == []
