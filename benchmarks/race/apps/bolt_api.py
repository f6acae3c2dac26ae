"""django-bolt."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from django_bolt import BoltAPI, EventSourceResponse, Request

from benchmarks.api_shop.models import books
from benchmarks.catalog.work import Async
from benchmarks.race.works import UPSTREAM_SECONDS

api = BoltAPI(django_middleware=bool(os.environ.get("RACE_MIDDLEWARE")))


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


@api.get("/hello")
async def hello() -> dict[str, str]:
    """Answer at once."""
    return {"message": "hello"}


@api.get("/one/{pk}")
async def one(pk: int) -> dict[str, Any]:
    """Answer with a book."""
    return await Async.one(pk)


@api.get("/many")
async def many() -> list[dict[str, Any]]:
    """Answer with books and their authors."""
    return await Async.many()


@api.get("/gathered/{pk}")
async def gathered(pk: int) -> list[dict[str, Any]]:
    """Answer with five books."""
    return await Async.gathered(pk)


@api.get("/change/{pk}")
async def change(pk: int) -> dict[str, Any]:
    """Change a book and answer with it."""
    return await Async.change(pk)


@api.get("/books")
async def list_books() -> list[BookOut]:
    """List the books."""
    return [BookOut(book.pk, book.title, AuthorOut(book.author.pk, book.author.name)) async for book in books()]


@api.post("/order", status_code=201)
async def take_order(body: OrderIn) -> OrderOut:
    """Take an order."""
    return OrderOut(body.customer, sum(line.quantity * line.price for line in body.lines))


@api.get("/account")
async def account(request: Request) -> dict[str, str]:
    """Answer with the name of the user of the session."""
    user = await request.auser()
    return {"user": user.get_username()}


@api.get("/slow/{pk}")
async def slow(pk: int) -> list[dict[str, Any]]:
    """Query, wait for something else, query."""
    before = await Async.one(pk)
    await asyncio.sleep(UPSTREAM_SECONDS)
    return [before, await Async.one(pk)]


@api.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterator[str]:
    """Send an event, and keep the stream open."""
    yield "hello"
    await asyncio.Event().wait()
