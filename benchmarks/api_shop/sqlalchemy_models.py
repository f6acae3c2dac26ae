"""Books and authors for SQLAlchemy."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Select, select
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship


class Base(DeclarativeBase):
    """The tables that Django has made."""


class Author(Base):
    """The author of a book."""

    __tablename__ = "api_shop_author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Book(Base):
    """The rows that the API lists."""

    __tablename__ = "api_shop_book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey(Author.id))
    author: Mapped[Author] = relationship()


def books() -> Select[Any]:
    """Return a hundred books and their authors: one query."""
    return select(Book).options(joinedload(Book.author, innerjoin=True)).order_by(Book.id).limit(100)
