"""The same four pieces of work without Django: FastAPI, and SQLAlchemy's ORM on an asynchronous driver."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from sqlalchemy import DateTime, ForeignKey, select
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship

from benchmarks.catalog import BOOKS, GATHERED, LISTED

if TYPE_CHECKING:
    from collections.abc import Mapping

POOL_SIZE = 10


class Base(DeclarativeBase):
    """The tables that Django has made."""


class Author(Base):
    """An author."""

    __tablename__ = "catalog_author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Book(Base):
    """A book."""

    __tablename__ = "catalog_book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey(Author.id))
    price: Mapped[int]
    created: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    author: Mapped[Author] = relationship()


def _shown(book: Book) -> dict[str, Any]:
    return {"id": book.id, "title": book.title, "price": book.price, "created": book.created.isoformat()}


def application(driver: str, database: Mapping[str, str]) -> FastAPI:
    """Return an application whose requests have a session each, of a pool as large as DAF's."""
    url = URL.create(
        driver,
        username=database["USER"],
        host=database["HOST"],
        port=int(database["PORT"]),
        database=database["NAME"],
    )
    engine = create_async_engine(url, pool_size=POOL_SIZE, max_overflow=0, pool_timeout=120)
    session = async_sessionmaker(engine, expire_on_commit=False)
    ids = itertools.cycle(range(1, BOOKS + 1))
    app = FastAPI()

    async def find() -> dict[str, Any]:
        async with session() as opened:
            return _shown((await opened.scalars(select(Book).where(Book.id == next(ids)))).one())

    @app.get("/one/")
    async def one() -> JSONResponse:
        return JSONResponse(await find())

    @app.get("/many/")
    async def many() -> JSONResponse:
        books = select(Book).options(joinedload(Book.author, innerjoin=True)).order_by(Book.id).limit(LISTED)
        async with session() as opened:
            found = await opened.scalars(books)
            return JSONResponse([{**_shown(book), "author": book.author.name} for book in found])

    @app.get("/gathered/")
    async def gathered() -> JSONResponse:
        return JSONResponse(await asyncio.gather(*[find() for _ in range(GATHERED)]))

    @app.get("/change/")
    async def change() -> JSONResponse:
        async with session() as opened, opened.begin():
            locked = select(Book).where(Book.id == next(ids)).with_for_update()
            book = (await opened.scalars(locked)).one()
            book.price += 1
        return JSONResponse(_shown(book))

    return app
