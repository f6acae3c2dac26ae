"""Positions in the source that a blocking call may have."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import Any

from tests.orm.detection.corpus.shapes import blocks
from tests.orm.detection.corpus.shelf import Shelf, close_here
from tests.project.library.models import Author, Book

BOOK = "library.Book"
EVALUATED = "await Book.objects.all().alist()"


@blocks("QuerySet.get", model=BOOK, expression='Book.objects.filter(stock=3).get(title="b0")', suggestion="aget(")
async def call_over_several_lines(shelf: Shelf) -> None:
    (
        Book.objects.filter(stock=3).get(  # blocks
            title="b0",
        )
    )


@blocks(
    "ForwardManyToOneDescriptor",
    model=BOOK,
    field="author",
    expression="book.author",
    suggestion='book.afetch_related("author")',
)
async def in_a_comprehension(shelf: Shelf) -> None:
    assert [book.author for book in [shelf.book]]  # blocks


@blocks(
    "ForwardManyToOneDescriptor",
    model=BOOK,
    field="author",
    expression="book.author",
    suggestion='book.afetch_related("author")',
)
async def in_a_generator_expression(shelf: Shelf) -> None:
    assert all(book.author for book in [shelf.book])  # blocks


@blocks("QuerySet.count", model=BOOK, expression="Book.objects.count()", suggestion="await Book.objects.acount()")
async def in_a_lambda(shelf: Shelf) -> None:
    count = lambda: Book.objects.count()  # noqa: E731 # blocks
    count()


def books() -> Iterator[Book]:
    yield from Book.objects.all()  # blocks


@blocks(
    "QuerySet.__iter__", model=BOOK, expression="yield from Book.objects.all()", suggestion=EVALUATED, line_in=books
)
async def in_a_generator(shelf: Shelf) -> None:
    for book in books():
        assert book


def counted(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        assert Author.objects.count()  # blocks
        return func(*args)

    return wrapper


@blocks("QuerySet.count", model="library.Author", suggestion="await Author.objects.acount()", line_in=counted)
async def in_a_decorator(shelf: Shelf) -> None:
    counted(str)("")


@blocks("ForwardManyToOneDescriptor", model=BOOK, field="author", suggestion="afetch_related", expression="book.author")
async def behind_functools(shelf: Shelf) -> None:
    sorted([shelf.book, shelf.book], key=lambda book: book.author.name)  # blocks


@blocks("QuerySet.count", model=BOOK, suggestion="await Book.objects.acount()", swallowed=True)
async def in_a_callback_of_the_loop(shelf: Shelf) -> None:
    loop, seen = asyncio.get_running_loop(), asyncio.Event()

    def callback() -> None:
        try:
            Book.objects.count()  # blocks
        finally:
            close_here()
            seen.set()

    loop.call_soon(callback)
    await seen.wait()


@blocks("QuerySet.count", model=BOOK, suggestion="await Book.objects.acount()")
async def in_a_task(shelf: Shelf) -> None:
    async def work() -> None:
        try:
            Book.objects.count()  # blocks
        finally:
            close_here()

    await asyncio.gather(work())


@blocks("QuerySet.count", model=BOOK, suggestion="await Book.objects.acount()")
async def in_an_async_generator(shelf: Shelf) -> None:
    async def numbers() -> Any:
        yield Book.objects.count()  # blocks

    async for number in numbers():
        assert number is not None


@blocks("QuerySet.count", model=BOOK, suggestion="await Book.objects.acount()")
async def in_an_async_context_manager(shelf: Shelf) -> None:
    class Counting:
        async def __aenter__(self) -> None:
            Book.objects.count()  # blocks

        async def __aexit__(self, *_: object) -> None:
            """Do nothing."""

    async with Counting():
        pass


@blocks(
    "QuerySet.exists", model=BOOK, expression='Book.objects.filter(title="ü").exists()', suggestion='filter(title="ü")'
)
async def behind_letters_of_two_bytes(shelf: Shelf) -> None:
    assert "äöü" + str(Book.objects.filter(title="ü").exists())  # blocks
