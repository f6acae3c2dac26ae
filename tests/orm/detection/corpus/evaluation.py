"""A queryset is evaluated."""

import copy
import json
import logging
import pickle
from itertools import chain

from django.db import models

from tests.orm.detection.corpus.shapes import blocks
from tests.orm.detection.corpus.shelf import Shelf
from tests.project.library.models import Author, Book

logger = logging.getLogger(__name__)
BOOK = "library.Book"
EVALUATED = "await Book.objects.all().alist()"


@blocks("QuerySet.__iter__", model=BOOK, expression="Book.objects.all()", suggestion=EVALUATED, sql="SELECT")
async def for_loop(shelf: Shelf) -> None:
    for book in Book.objects.all():  # blocks
        assert book


@blocks("QuerySet.__iter__", model=BOOK, expression="Book.objects.all()", suggestion=EVALUATED)
async def list_comprehension(shelf: Shelf) -> None:
    assert [book.title for book in Book.objects.all()]  # blocks


@blocks("QuerySet.__iter__", model=BOOK, expression="Book.objects.all()", suggestion=EVALUATED)
async def making_a_generator_expression(shelf: Shelf) -> None:
    assert (book.title for book in Book.objects.all())  # blocks


@blocks("QuerySet.__iter__", model=BOOK, expression="list(Book.objects.all())", suggestion=EVALUATED)
async def making_a_list(shelf: Shelf) -> None:
    list(Book.objects.all())  # blocks


@blocks("QuerySet.__iter__", model=BOOK, expression="tuple(Book.objects.all())", suggestion=EVALUATED)
async def making_a_tuple(shelf: Shelf) -> None:
    tuple(Book.objects.all())  # blocks


@blocks("QuerySet.__iter__", model=BOOK, expression="set(Book.objects.all())", suggestion=EVALUATED)
async def making_a_set(shelf: Shelf) -> None:
    set(Book.objects.all())  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion="await Book.objects.all().alist()")
async def sorting(shelf: Shelf) -> None:
    sorted(Book.objects.all(), key=str)  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion='await Book.objects.values_list("id", "title").alist()')
async def making_a_dict(shelf: Shelf) -> None:
    dict(Book.objects.values_list("id", "title"))  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion='await Book.objects.values_list("stock", flat=True).alist()')
async def summing(shelf: Shelf) -> None:
    sum(Book.objects.values_list("stock", flat=True))  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion="alist()")
async def maximum(shelf: Shelf) -> None:
    max(Book.objects.values_list("stock", flat=True))  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion='await Book.objects.values_list("title", flat=True).alist()')
async def joining(shelf: Shelf) -> None:
    ", ".join(Book.objects.values_list("title", flat=True))  # blocks


@blocks(
    "QuerySet.__len__", model=BOOK, expression="len(Book.objects.all())", suggestion="await Book.objects.all().acount()"
)
async def length(shelf: Shelf) -> None:
    len(Book.objects.all())  # blocks


@blocks("QuerySet.__bool__", model=BOOK, expression="books", suggestion="await books.aexists()")
async def if_statement(shelf: Shelf) -> None:
    books = Book.objects.all()
    if books:  # blocks
        pass


@blocks("QuerySet.__bool__", model=BOOK, suggestion="await books.aexists()")
async def or_expression(shelf: Shelf) -> None:
    books = Book.objects.all()
    assert books or []  # blocks


@blocks("QuerySet.__bool__", model=BOOK, suggestion="await books.aexists()")
async def negation(shelf: Shelf) -> None:
    books = Book.objects.all()
    assert (not books) is False  # blocks


@blocks(
    "QuerySet.__bool__",
    model=BOOK,
    expression="bool(Book.objects.all())",
    suggestion="await Book.objects.all().aexists()",
)
async def making_a_bool(shelf: Shelf) -> None:
    bool(Book.objects.all())  # blocks


@blocks("QuerySet.__getitem__", model=BOOK, suggestion='await Book.objects.order_by("pk").afirst()')
async def first_item(shelf: Shelf) -> None:
    assert Book.objects.order_by("pk")[0]  # blocks


@blocks("QuerySet.__getitem__", model=BOOK, suggestion='Use await Book.objects.order_by("pk")[1:].afirst().')
async def later_item_of_what_is_ordered(shelf: Shelf) -> None:
    assert Book.objects.order_by("pk")[1]  # blocks


@blocks("QuerySet.__getitem__", model=BOOK, suggestion="Use [row async for row in Book.objects.all()[1:][:1]][0].")
async def later_item_of_what_has_no_order(shelf: Shelf) -> None:
    assert Book.objects.all()[1]  # blocks


@blocks(
    "QuerySet.__getitem__",
    model=BOOK,
    expression="Book.objects.all()[::2]",
    suggestion="await Book.objects.all().alist()",
)
async def stepped_slice(shelf: Shelf) -> None:
    assert Book.objects.all()[::2]  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion="await Book.objects.all().acontains(shelf.book)")
async def membership(shelf: Shelf) -> None:
    assert shelf.book in Book.objects.all()  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion="Use not await Book.objects.all().acontains(shelf.book).")
async def negated_membership(shelf: Shelf) -> None:
    assert (shelf.book not in Book.objects.all()) is False  # blocks


@blocks(
    "QuerySet.__iter__",
    model=BOOK,
    suggestion='Use "b0" in [row async for row in Book.objects.values_list("title", flat=True)].',
)
async def membership_of_values(shelf: Shelf) -> None:
    assert "b0" in Book.objects.values_list("title", flat=True)  # blocks


@blocks("QuerySet.__repr__", model=BOOK, expression="repr(Book.objects.all())", suggestion=EVALUATED)
async def representation(shelf: Shelf) -> None:
    repr(Book.objects.all())  # blocks


@blocks("QuerySet.__repr__", model=BOOK, suggestion="alist()")
async def f_string(shelf: Shelf) -> None:
    books = Book.objects.all()
    str.upper(f"{books}")  # blocks


@blocks("QuerySet.__repr__", model=BOOK, suggestion="await queryset.alist()")
async def logging_it(shelf: Shelf) -> None:
    logger.error("%s", Book.objects.all())  # blocks


@blocks("QuerySet.__iter__", model=BOOK, expression="Book.objects.all()", suggestion=EVALUATED)
async def unpacking(shelf: Shelf) -> None:
    first, second = Book.objects.all()  # blocks
    assert first
    assert second


@blocks("QuerySet.__iter__", model=BOOK, expression="books", suggestion="await books.alist()")
async def starred_unpacking(shelf: Shelf) -> None:
    books = Book.objects.all()
    first, *rest = books  # blocks
    assert first
    assert rest


@blocks("QuerySet.__iter__", model=BOOK, suggestion="alist()")
async def starred_argument(shelf: Shelf) -> None:
    max(*Book.objects.values_list("pk", flat=True))  # blocks


@blocks("QuerySet.__len__", model=BOOK, expression="reversed(Book.objects.all())", suggestion=EVALUATED)
async def reversing(shelf: Shelf) -> None:
    reversed(Book.objects.all())  # blocks


@blocks("QuerySet.__getstate__", model=BOOK, suggestion=EVALUATED)
async def pickling(shelf: Shelf) -> None:
    pickle.dumps(Book.objects.all())  # blocks


@blocks("QuerySet.__getstate__", model=BOOK, expression="copy.copy(Book.objects.all())", suggestion="alist()")
async def shallow_copy(shelf: Shelf) -> None:
    copy.copy(Book.objects.all())  # blocks


@blocks("QuerySet.iterator", model=BOOK, suggestion="async for row in Book.objects.all().aiterator()")
async def iterator(shelf: Shelf) -> None:
    for book in Book.objects.all().iterator():  # blocks
        assert book


@blocks("RawQuerySet.__iter__", model=BOOK, suggestion="Use rows = await database_sync_to_async(list)(", sql="SELECT")
async def raw(shelf: Shelf) -> None:
    list(Book.objects.raw("SELECT * FROM library_book"))  # blocks


@blocks(
    "QuerySet.__iter__",
    model=BOOK,
    expression="list(Book.objects.values())",
    suggestion="await Book.objects.values().alist()",
)
async def json_of_a_list(shelf: Shelf) -> None:
    json.dumps(list(Book.objects.values()), default=str)  # blocks


@blocks("QuerySet.__iter__", model=BOOK, expression="iter(Book.objects.all())", suggestion=EVALUATED)
async def making_an_iterator(shelf: Shelf) -> None:
    iter(Book.objects.all())  # blocks


@blocks("QuerySet.__iter__", model=BOOK, expression="enumerate(Book.objects.all())", suggestion=EVALUATED)
async def enumerating(shelf: Shelf) -> None:
    enumerate(Book.objects.all())  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion="alist()")
async def mapping(shelf: Shelf) -> None:
    map(str, Book.objects.all())  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion="alist()")
async def chaining(shelf: Shelf) -> None:
    list(chain(Book.objects.all(), [shelf.book]))  # blocks


@blocks("QuerySet.__iter__", model=BOOK, suggestion='await Book.objects.dates("published", "year").alist()')
async def dates(shelf: Shelf) -> None:
    list(Book.objects.dates("published", "year"))  # blocks


@blocks("QuerySet.__iter__", model="library.Author", suggestion="alist()", sql="COUNT")
async def annotated(shelf: Shelf) -> None:
    for author in Author.objects.annotate(written=models.Count("books")):  # blocks
        assert author.written
