"""How the shop's rows look in JSON. Nothing here may query: callers load the relations first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shop.models import Book, Order, OrderLine


def book_summary(book: Book) -> dict[str, Any]:
    """A book in a list. Needs `author`."""
    return {"id": book.pk, "title": book.title, "author": book.author.name, "price": book.price}


def book_details(book: Book) -> dict[str, Any]:
    """A book's page. Needs `BookQuerySet.with_details`."""
    return {
        "id": book.pk,
        "isbn": book.isbn,
        "title": book.title,
        "price": book.price,
        "published": book.published,
        "author": {"id": book.author.pk, "name": book.author.name, "born": book.author.born},
        "tags": sorted(tag.name for tag in book.tags.all()),
        "stock": {
            "quantity": book.stock.quantity,
            "restock_requested": hasattr(book, "restock_request"),
        },
    }


def order_line(line: OrderLine) -> dict[str, Any]:
    """A line of an order. Needs `book`."""
    return {
        "book": line.book_id,
        "title": line.book.title,
        "quantity": line.quantity,
        "unit_price": line.unit_price,
        "total": line.total,
    }


def order_details(order: Order) -> dict[str, Any]:
    """An order with its lines. Needs `lines__book`."""
    lines = sorted(order.lines.all(), key=lambda line: line.book_id)
    return {
        "id": order.pk,
        "customer": order.customer,
        "placed_at": order.placed_at,
        "lines": [order_line(line) for line in lines],
        "total": sum(line.total for line in lines),
    }


def order_notice(order: Order, lines: Iterable[OrderLine]) -> dict[str, Any]:
    """An order for everybody to hear of, so without its customer."""
    bought = list(lines)
    return {
        "id": order.pk,
        "placed_at": order.placed_at,
        "copies": sum(line.quantity for line in bought),
        "total": sum(line.total for line in bought),
    }
