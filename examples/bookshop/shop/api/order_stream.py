"""Orders as they are placed, as server-sent events whose ids are the orders' own.

A client that reconnects with `Last-Event-ID` first gets the orders with a higher id from the database, page by page,
then those that are placed, in any process. It subscribes before it reads, so that no order falls between the two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from daf_views import AsyncAPIView
from daf_views.exceptions import SlowSubscriberError
from daf_views.streaming import Event, Gap, Subscription, sse
from shop.branches import branch_now
from shop.broadcast import placed_orders
from shop.models import Order
from shop.notices import order_notice

PAGE = 100
MAX_DIGITS = 18  # fits every database's largest id
RECONNECT_MILLISECONDS = 1_000
TOO_SLOW = f"You fell more than {placed_orders.capacity} orders behind. Reconnect with Last-Event-ID to get the rest."


class OrderStreamView(AsyncAPIView):
    """GET: every order, from now on or from `Last-Event-ID`, until the client leaves or the server stops."""

    services = {"orders": placed_orders.subscribe}  # noqa: RUF012 (read only); it lives until the stream has ended
    http_method_names = ("get", "options")  # not HEAD, whose answer would never end

    async def get(self, request: HttpRequest) -> HttpResponseBase:
        """Every order when it is placed: server-sent events, resumed with Last-Event-ID."""
        feed = partial(order_events, self.services.orders)
        return sse(feed, request=request, retry=RECONNECT_MILLISECONDS)


async def order_events(orders: Subscription, last_id: str | None) -> AsyncIterator[Event]:
    """Yield missed orders, then new ones; at the end, an event if the client was too slow."""
    last = await newest_order() if last_id is None or not is_id(last_id) else int(last_id)
    try:
        async for notice in notices(orders, last):
            yield Event(event="order", id=str(notice["id"]), data=notice)
    except SlowSubscriberError:
        yield Event(event="too_slow", data=TOO_SLOW)


async def notices(orders: Subscription, last: int) -> AsyncIterator[dict[str, Any]]:
    """Yield the orders with an id above `last`, then those that are placed, and again those that a gap has cost."""
    # Orders that are both read and received were placed meanwhile: no more than a subscription holds.
    # Were one to slip through, a client would know it by its id.
    replayed: deque[int] = deque(maxlen=placed_orders.capacity)
    received: Any = Gap(lost=None)
    while received is not None:
        if isinstance(received, Gap):
            async for notice in missed_orders(last):
                replayed.append(notice["id"])
                last = notice["id"]
                yield notice
        # No policy filters messages: all processes hear of the orders of all branches.
        elif received["branch"] == branch_now() and received["id"] not in replayed:
            last = max(last, received["id"])
            yield received
        received = await anext(orders, None)


async def missed_orders(last: int) -> AsyncIterator[dict[str, Any]]:
    """The orders with a higher id, from the database."""
    orders = Order.objects.prefetch_related("lines").order_by("pk")
    # A page is one call: however slowly the client reads it, no connection waits for that.
    while page := await orders.filter(pk__gt=last)[:PAGE].alist():
        for order in page:
            yield order_notice(order, order.lines.all())
        last = page[-1].pk


async def newest_order() -> int:
    newest = await Order.objects.order_by("-pk").values_list("pk", flat=True).afirst()
    return newest or 0


def is_id(text: str) -> bool:
    return text.isdecimal() and len(text) <= MAX_DIGITS
