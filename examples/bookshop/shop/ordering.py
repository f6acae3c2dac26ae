"""Selling books: an order takes its copies off the shelf, all of them or none.

Problem: many customers want the last copy. Mechanism: one transaction locks the stock rows of the order,
looks, takes, and writes the order. Invariant: copies sold plus copies on the shelf never change, and no shelf
goes below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from daf_orm import transaction
from daf_views.exceptions import ConflictError, NotFoundError
from shop.broadcast import placed_orders, stock_changes, stock_notice
from shop.models import Book, Order, OrderLine, RestockRequest, Stock
from shop.notices import order_notice
from shop.receipts import send_receipt


async def place_order(customer: str, quantities: dict[int, int]) -> Order:
    """Sell copies of books, by id, and return the order; its lines are not loaded.

    Raises NotFoundError for a book the shop does not sell, ConflictError when a shelf holds too few copies.
    Nothing is written then.
    """
    # A view that is atomic has begun the transaction already; then this is a savepoint in it.
    async with transaction.atomic():
        # Titles and prices are read before any row is locked, so that locks are held as briefly as can be.
        books = await find_books(list(quantities))
        stocks = await take_from_shelf(quantities)
        order = await Order.objects.acreate(customer=customer)
        lines = await OrderLine.objects.abulk_create(
            OrderLine(order=order, book=books[pk], quantity=quantity, unit_price=books[pk].price)
            for pk, quantity in quantities.items()
        )
        sold_out = [stock.book_id for stock in stocks if stock.quantity == 0]
        # With the commit: an order that is rolled back must not be announced, nor ask for books to be restocked.
        await placed_orders.apublish(order_notice(order, lines))
        await stock_changes.apublish(stock_notice(stocks))
        transaction.on_commit(partial(request_restock, sold_out))
        await send_receipt.aenqueue(order.pk, order.branch)  # when this has committed, too
    return order


async def find_books(ids: Sequence[int]) -> dict[int, Book]:
    """The books by id. Raises NotFoundError naming those the shop does not sell."""
    books = await Book.objects.ain_bulk(ids)
    if unknown := [pk for pk in ids if pk not in books]:
        raise NotFoundError(f"The shop does not sell {_named(unknown)}.", books=unknown)
    return books


async def take_from_shelf(quantities: dict[int, int]) -> list[Stock]:
    """Lock the stock of these books, check it and decrement it; call it inside a transaction.

    Rows are locked in the order of their id, so that two orders for the same books queue instead of
    deadlocking. Django leaves `select_for_update` out where the database has no row locks: on SQLite the
    transaction itself is the lock, taken when it begins.
    """
    on_shelf = Stock.objects.filter(pk__in=list(quantities)).order_by("pk").select_for_update()
    stocks = await on_shelf.alist()
    shelf = {stock.book_id: stock.quantity for stock in stocks}
    if short := [pk for pk, wanted in quantities.items() if shelf.get(pk, 0) < wanted]:
        available = [{"book": pk, "available": shelf.get(pk, 0)} for pk in short]
        raise ConflictError(f"Not enough copies of {_named(short)}.", code="out_of_stock", books=available)
    for stock in stocks:
        stock.quantity -= quantities[stock.book_id]
    await Stock.objects.abulk_update(stocks, ["quantity"])
    return stocks


async def request_restock(book_ids: Sequence[int]) -> None:
    """Ask once for each sold-out book to be bought in again."""
    for pk in book_ids:
        await RestockRequest.objects.aget_or_create(book_id=pk)


def _named(ids: Sequence[int]) -> str:
    return f"book {ids[0]}" if len(ids) == 1 else f"books {', '.join(map(str, ids))}"
