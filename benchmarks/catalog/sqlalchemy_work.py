"""The four pieces of work by SQLAlchemy's ORM on an asynchronous driver."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, ForeignKey, select
from sqlalchemy.engine import URL
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship

from benchmarks.catalog import LISTED, in_a_row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

POOL = {"pool_size": 10, "max_overflow": 0, "pool_timeout": 120}
"""As large as DAF's."""


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


def url_of(driver: str, database: Mapping[str, str]) -> URL:
    """Return a database's URL, with its dialect and driver."""
    return URL.create(
        driver,
        username=database["USER"],
        host=database["HOST"],
        port=int(database["PORT"]),
        database=database["NAME"],
    )


def _shown(book: Book) -> dict[str, Any]:
    return {"id": book.id, "title": book.title, "price": book.price, "created": book.created.isoformat()}


async def one(session: AsyncSession, pk: int) -> dict[str, Any]:
    """One row by primary key."""
    return _shown((await session.scalars(select(Book).where(Book.id == pk))).one())


async def many(session: AsyncSession) -> list[dict[str, Any]]:
    """20 rows with their author, by a join."""
    books = select(Book).options(joinedload(Book.author, innerjoin=True)).order_by(Book.id).limit(LISTED)
    return [{**_shown(book), "author": book.author.name} for book in await session.scalars(books)]


async def gathered(sessions: async_sessionmaker[AsyncSession], pk: int) -> list[dict[str, Any]]:
    """Five rows, each with a separate query, at once: so each with a session."""

    async def find(each: int) -> dict[str, Any]:
        async with sessions() as session:
            return await one(session, each)

    return await asyncio.gather(*[find(each) for each in in_a_row(pk)])


async def change(session: AsyncSession, pk: int) -> dict[str, Any]:
    """Read a row for update, change it and write it, in a transaction."""
    async with session.begin():
        book = (await session.scalars(select(Book).where(Book.id == pk).with_for_update())).one()
        book.price += 1
    return _shown(book)
