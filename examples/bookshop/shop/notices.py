"""The public data of an order, without its customer. Nothing here may query: callers load the lines first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shop.models import Order, OrderLine


def order_notice(order: Order, lines: Iterable[OrderLine]) -> dict[str, Any]:
    """An order as the stream sends it."""
    bought = list(lines)
    return {
        "id": order.pk,
        "branch": order.branch,
        "placed_at": order.placed_at,
        "copies": sum(line.quantity for line in bought),
        "total": sum(line.total for line in bought),
    }
