"""Values go through named tuples, typed dictionaries and the getters of ``operator``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.orm.static.checking import codes

HEAD = """
import collections
import operator
from collections import namedtuple
from typing import NamedTuple, TypedDict

Pair = namedtuple("Pair", "number, book")
Listed = collections.namedtuple("Listed", ["number", "book"])


class Typed(NamedTuple):
    number: int
    book: Book


class Kept(TypedDict):
    book: Book


async def view(request):
    book = await Book.objects{loading}.aget(pk=1)
    books = [row async for row in Book.objects{loading}]
    print({expression})
"""


@pytest.mark.parametrize(
    "expression",
    [
        "Pair(1, book).book.author.name",
        "Pair(number=1, book=book).book.author.name",
        "Listed(1, book).book.author.name",
        "Listed(1, book)[1].author.name",
        "[each.author.name for _, each in [Listed(1, book)]]",
        "Typed(1, book).book.author.name",
        "Typed(1, book)[1].author.name",
        "Kept(book=book)['book'].author.name",
        "operator.attrgetter('author.name')(book)",
        "list(map(operator.attrgetter('author'), books))",
        "sorted(books, key=operator.attrgetter('author.name'))",
        "max(books, key=operator.attrgetter('pk', 'author.name'))",
    ],
)
def test_a_relation_is_read_behind_it(expression: str, tmp_path: Path) -> None:
    lazy = HEAD.replace("{expression}", expression).replace("{loading}", ".all()")
    loaded = HEAD.replace("{expression}", expression).replace("{loading}", ".select_related('author')")

    assert codes(tmp_path, lazy) == ["DAF020"]
    assert codes(tmp_path, loaded) == []


def test_a_method_is_called_by_its_name(tmp_path: Path) -> None:
    source = HEAD.replace("{loading}", ".all()").replace("{expression}", "operator.methodcaller('count')({rows})")

    assert codes(tmp_path, source.replace("{rows}", "Book.objects.all()")) == ["DAF010"]
    assert codes(tmp_path, source.replace("{rows}", "books")) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("author.books.all().count()", []),
        ("author.books.first()", ["DAF010"]),
        ("author.books.all().first()", ["DAF010"]),
        ("author.books.last()", ["DAF010"]),
        ("ordered.books.all().first()", []),
        ("ordered.books.last()", ["DAF010"]),
    ],
)
def test_the_first_of_prefetched_rows_is_there_only_if_they_are_ordered(
    line: str, expected: list[str], tmp_path: Path
) -> None:
    source = f"""
    from django.db.models import Prefetch
    async def view(request):
        author = await Author.objects.prefetch_related("books").aget(pk=1)
        ordered = await Author.objects.prefetch_related(Prefetch("books", Book.objects.order_by("pk"))).aget(pk=1)
        print({line})
    """

    assert codes(tmp_path, source) == expected


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("for page in Paginator(Book.objects.all(), 10): pass", "DAF013"),
        ("request.session.update({'a': 1})", "DAF050"),
        ("request.session.set_expiry(300)", "DAF050"),
        ("HttpResponse(Book.objects.values_list('title', flat=True))", "DAF001"),
        ("print(int(Book.objects.acount()))", "DAF070"),
    ],
)
def test_a_call_blocks(line: str, code: str, tmp_path: Path) -> None:
    source = f"""
    from django.core.paginator import Paginator
    from django.http import HttpRequest, HttpResponse
    async def view(request: HttpRequest):
        {line}
    """

    assert codes(tmp_path, source) == [code]
