"""The channels on which the shop tells all its processes of news, with the commit of the transaction that made them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from daf_views.streaming import Channel
from shop.models import Stock

# A listener that falls further behind comes back, and gets the rest from the database.
placed_orders = Channel("orders", capacity=100)
# The number of copies now is all that counts: older messages may go.
stock_changes = Channel("stock", capacity=20, overflow="drop_oldest")


def stock_notice(stocks: Iterable[Stock]) -> list[dict[str, Any]]:
    """The new number of copies of some books, as `stock_changes` has it."""
    return [{"book": stock.book_id, "quantity": stock.quantity} for stock in stocks]
