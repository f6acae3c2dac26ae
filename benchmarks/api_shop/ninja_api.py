"""With django-ninja, so with pydantic."""

from typing import Annotated

from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI, Schema, Status
from pydantic import Field

from benchmarks.api_shop.models import Book, books


class Line(Schema):
    """A line of an order."""

    book: int
    quantity: Annotated[int, Field(ge=1)]
    price: float


class OrderIn(Schema):
    """An order."""

    customer: str
    lines: list[Line]


class OrderOut(Schema):
    """The response to an order."""

    customer: str
    total: float


class AuthorOut(Schema):
    """An author."""

    id: int
    name: str


class BookOut(Schema):
    """A book."""

    id: int
    title: str
    author: AuthorOut


api = NinjaAPI()


@api.post("/order", response={201: OrderOut})
async def take_order(request: HttpRequest, body: OrderIn) -> Status[OrderOut]:  # noqa: ARG001
    """Take an order."""
    total = sum(line.quantity * line.price for line in body.lines)
    return Status(201, OrderOut(customer=body.customer, total=total))


@api.get("/books", response=list[BookOut])
async def list_books(request: HttpRequest) -> list[Book]:  # noqa: ARG001
    """List the books."""
    return [book async for book in books()]


urlpatterns = [path("", api.urls)]
