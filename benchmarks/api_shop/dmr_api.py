"""With django-modern-rest and msgspec."""

from typing import Annotated

import msgspec
from django.urls import path
from dmr import Body, Controller
from dmr.plugins.msgspec import MsgspecSerializer

from benchmarks.api_shop.models import books


class Line(msgspec.Struct):
    """A line of an order."""

    book: int
    quantity: Annotated[int, msgspec.Meta(ge=1)]
    price: float


class OrderIn(msgspec.Struct):
    """An order."""

    customer: str
    lines: list[Line]


class OrderOut(msgspec.Struct):
    """The response to an order."""

    customer: str
    total: float


class AuthorOut(msgspec.Struct):
    """An author."""

    id: int
    name: str


class BookOut(msgspec.Struct):
    """A book."""

    id: int
    title: str
    author: AuthorOut


class OrderController(Controller[MsgspecSerializer]):
    """Orders."""

    async def post(self, parsed_body: Body[OrderIn]) -> OrderOut:
        """Take one."""
        return OrderOut(parsed_body.customer, sum(line.quantity * line.price for line in parsed_body.lines))


class BooksController(Controller[MsgspecSerializer]):
    """Books."""

    async def get(self) -> list[BookOut]:
        """List them."""
        return [BookOut(book.pk, book.title, AuthorOut(book.author.pk, book.author.name)) async for book in books()]


urlpatterns = [path("order", OrderController.as_view()), path("books", BooksController.as_view())]
