"""Books and a clerk that belong to one smoke run: made before it, removed with their orders after it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db.models import Sum

from demo.clerk import Clerk
from demo.database import token_of
from demo.prices import SLOW_DIGIT

ISBN_DIGITS = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The run's own rows, so that a database with other rows in it gives the same answers every time."""

    word: str
    customer: str
    clerk: Clerk
    token: str
    rare: int
    common: int

    def order(self, *lines: tuple[object, object]) -> dict[str, Any]:
        """An order by this run's customer: pairs of a book and how many copies."""
        return {"customer": self.customer, "lines": [{"book": book, "quantity": count} for book, count in lines]}


@contextmanager
def own_shelf(*, rare_copies: int, common_copies: int) -> Iterator[Shelf]:
    """A rare and a common book by an author whose name no other row has. The supplier is slow with the rare one."""
    word = f"smoke{uuid.uuid4().hex[:12]}"
    author = _model("Author").objects.create(name=f"Sasha {word}", born=1970)
    clerk = _clerk(word)
    shelf = Shelf(
        word=word,
        customer=f"{word}@example.com",
        clerk=clerk,
        token=token_of(clerk.name),
        rare=_book(author, "A Rare Book", rare_copies, SLOW_DIGIT),
        common=_book(author, "A Common Book", common_copies, "1"),
    )
    try:
        yield shelf
    finally:
        asyncio.run(_remove_orders(author))
        author.books.all().delete()
        author.delete()
        get_user_model().objects.filter(username=shelf.clerk.name).delete()


async def _remove_orders(author: Any) -> None:
    """Remove the orders of a book by this author, of each branch in turn: no session sees those of all."""
    branches = import_module("shop.branches")
    for branch in (branches.MAIN, *branches.BRANCHES):
        branches.current_branch.set(branch)
        await _model("Order").objects.filter(lines__book__author=author).adelete()


def copies_sold(shelf: Shelf, book: int) -> int:
    """Copies of `book` in this run's orders, straight from the database."""
    lines = _model("OrderLine").objects.filter(order__customer=shelf.customer, book=book)
    return int(lines.aggregate(copies=Sum("quantity", default=0))["copies"])


def _clerk(name: str) -> Clerk:
    clerk = Clerk.for_this_run(name)
    call_command("seed", clerk=name, stdout=StringIO())
    return clerk


def _book(author: Any, title: str, copies: int, last_digit: str) -> int:
    number = f"979{uuid.uuid4().int}"[: ISBN_DIGITS - 1] + last_digit
    book = author.books.create(isbn=number, title=title, published="2026-01-01", price="12.50")
    book.tags.add(*_model("Tag").objects.order_by("name")[:2])
    _model("Stock").objects.create(book=book, quantity=copies)
    return int(book.pk)


def _model(name: str) -> Any:
    """A model of the shop, looked up when used: this module is imported before Django is set up."""
    return apps.get_model("shop", name)
