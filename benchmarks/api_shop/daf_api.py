"""With DAF's ``AsyncAPIView`` and msgspec."""

from typing import Annotated

import msgspec
from django.http import HttpRequest
from django.urls import path

from benchmarks.api_shop.models import books
from daf_views import AsyncAPIView
from daf_views.api import Status


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


class OrderView(AsyncAPIView):
    """Orders."""

    async def post(self, request: HttpRequest, body: OrderIn) -> Annotated[OrderOut, Status(201)]:  # noqa: ARG002
        """Take one."""
        return OrderOut(body.customer, sum(line.quantity * line.price for line in body.lines))


class BooksView(AsyncAPIView):
    """Books."""

    async def get(self, request: HttpRequest) -> list[BookOut]:  # noqa: ARG002
        """List them."""
        found: list[BookOut] = books()  # a queryset, which DAF converts
        return found


urlpatterns = [path("order", OrderView.as_view()), path("books", BooksView.as_view())]
