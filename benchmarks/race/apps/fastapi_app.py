"""FastAPI with pydantic."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from benchmarks.api_shop.sqlalchemy_models import books
from benchmarks.catalog import sqlalchemy_work as work
from benchmarks.catalog.fastapi_app import add_catalog, session_maker
from benchmarks.race.contenders import Contender
from benchmarks.race.works import UPSTREAM_SECONDS


class Line(BaseModel):
    """A line of an order."""

    book: int
    quantity: Annotated[int, Field(ge=1)]
    price: float


class OrderIn(BaseModel):
    """An order."""

    customer: str
    lines: list[Line]


class OrderOut(BaseModel):
    """The response to an order."""

    customer: str
    total: float


class AuthorOut(BaseModel):
    """An author."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str


class BookOut(BaseModel):
    """A book."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    title: str
    author: AuthorOut


def application(contender: Contender, database: Mapping[str, str]) -> FastAPI:
    """Return the application."""
    app = FastAPI()
    sessions = session_maker(contender.engines["postgresql"], database)
    add_catalog(app, sessions)

    @app.get("/hello")
    async def hello() -> JSONResponse:
        return JSONResponse({"message": "hello"})

    @app.get("/books")
    async def list_books() -> list[BookOut]:
        async with sessions() as session:
            return [BookOut.model_validate(book) for book in await session.scalars(books())]

    @app.post("/order", status_code=201)
    async def take_order(body: OrderIn) -> OrderOut:
        total = sum(line.quantity * line.price for line in body.lines)
        return OrderOut(customer=body.customer, total=total)

    @app.get("/slow/{pk}")
    async def slow(pk: int) -> JSONResponse:
        return JSONResponse([await find(pk), await later(pk)])

    async def find(pk: int) -> Any:
        async with sessions() as session:
            return await work.one(session, pk)

    async def later(pk: int) -> Any:
        await asyncio.sleep(UPSTREAM_SECONDS)
        return await find(pk)

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(_events(), media_type="text/event-stream")

    return app


async def _events() -> AsyncIterator[str]:
    yield "data: hello\n\n"
    await asyncio.Event().wait()
