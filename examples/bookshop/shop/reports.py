"""The shop at a glance: five independent queries at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

from django.db.models import Avg, Count, F, Q, Sum

from shop.models import Book, OrderLine, Stock, Tag
from shop.schemas import Bestseller, BusyTag, Catalogue, Report, Sales, Shelves


async def shop_report() -> Report:
    """Run the five queries in parallel, each on its own connection, and put the answers together."""
    books, stock, sales, best, tags = await asyncio.gather(
        catalogue(),
        shelves(),
        all_sales(),
        bestsellers(),
        busiest_tags(),
    )
    return Report(catalogue=books, stock=stock, sales=sales, bestsellers=best, tags=tags)


async def catalogue() -> Catalogue:
    """The number of books and authors, and the average price."""
    totals = await Book.objects.aaggregate(
        books=Count("pk"), authors=Count("author", distinct=True), average_price=Avg("price")
    )
    return Catalogue(**totals | {"average_price": _cents(totals["average_price"])})


async def shelves() -> Shelves:
    """The number of copies on the shelves, and of sold-out titles."""
    totals = await Stock.objects.aaggregate(copies=Sum("quantity"), sold_out=Count("pk", filter=Q(quantity=0)))
    return Shelves(**totals)


async def all_sales() -> Sales:
    """The number of orders, and their total."""
    totals = await OrderLine.objects.aaggregate(
        orders=Count("order", distinct=True),
        copies=Sum("quantity"),
        revenue=Sum(F("quantity") * F("unit_price")),
    )
    return Sales(**totals | {"revenue": _cents(totals["revenue"])})


async def bestsellers() -> list[Bestseller]:
    """The five titles that sold most copies."""
    sold = Book.objects.annotate(sold=Sum("order_lines__quantity")).filter(sold__gt=0)
    rows = await sold.order_by("-sold", "pk").values("id", "title", "sold")[:5].alist()
    return [Bestseller(**row) for row in rows]


async def busiest_tags() -> list[BusyTag]:
    """The five subjects with most titles."""
    counted = Tag.objects.annotate(titles=Count("books"))
    rows = await counted.order_by("-titles", "name").values("name", "titles")[:5].alist()
    return [BusyTag(**row) for row in rows]


def _cents(amount: Any) -> Any:
    """An amount of money to two places; None where there is nothing to sum up."""
    return None if amount is None else round(amount, 2)
