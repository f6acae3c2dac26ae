"""Litestar with advanced-alchemy."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

import msgspec
from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    EngineConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyInitPlugin,
)
from litestar import Litestar, get, post
from litestar.response import ServerSentEvent
from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.api_shop.sqlalchemy_models import books
from benchmarks.catalog import sqlalchemy_work as work
from benchmarks.race.contenders import Contender
from benchmarks.race.works import UPSTREAM_SECONDS


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


@get("/hello")
async def hello() -> dict[str, str]:
    """Answer at once."""
    return {"message": "hello"}


@get("/one/{pk:int}")
async def one(db_session: AsyncSession, pk: int) -> dict[str, Any]:
    """Answer with a book."""
    return await work.one(db_session, pk)


@get("/many")
async def many(db_session: AsyncSession) -> list[dict[str, Any]]:
    """Answer with books and their authors."""
    return await work.many(db_session)


@get("/change/{pk:int}")
async def change(db_session: AsyncSession, pk: int) -> dict[str, Any]:
    """Change a book and answer with it."""
    return await work.change(db_session, pk)


@get("/books")
async def list_books(db_session: AsyncSession) -> list[BookOut]:
    """List the books."""
    found = await db_session.scalars(books())
    return [BookOut(book.id, book.title, AuthorOut(book.author.id, book.author.name)) for book in found]


@post("/order")
async def take_order(data: OrderIn) -> OrderOut:
    """Take an order."""
    return OrderOut(data.customer, sum(line.quantity * line.price for line in data.lines))


@get("/events")
async def events() -> ServerSentEvent:
    """Send an event, and keep the stream open."""
    return ServerSentEvent(_events())


async def _events() -> AsyncIterator[str]:
    yield "hello"
    await asyncio.Event().wait()


def application(contender: Contender, database: Mapping[str, str]) -> Litestar:
    """Return the application."""
    config = SQLAlchemyAsyncConfig(
        connection_string=work.url_of(contender.engines["postgresql"], database).render_as_string(),
        engine_config=EngineConfig(**work.POOL),
        session_config=AsyncSessionConfig(expire_on_commit=False),
    )
    sessions = config.create_session_maker()

    @get("/gathered/{pk:int}")
    async def gathered(pk: int) -> list[dict[str, Any]]:
        return await work.gathered(sessions, pk)

    @get("/slow/{pk:int}")
    async def slow(pk: int) -> list[dict[str, Any]]:
        async with sessions() as session:
            before = await work.one(session, pk)
        await asyncio.sleep(UPSTREAM_SECONDS)
        async with sessions() as session:
            return [before, await work.one(session, pk)]

    handlers = [hello, one, many, gathered, change, list_books, take_order, slow, events]
    return Litestar(handlers, plugins=[SQLAlchemyInitPlugin(config)])
