"""Orders as they are placed, as server-sent events whose ids are the orders' own.

A client that reconnects with `Last-Event-ID` first gets the orders with a higher id from the database, page by page,
then those that are placed. It begins to listen before it reads, so that no order falls between the two.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from daf_views import AsyncAPIView
from daf_views.streaming import Event, sse
from shop.broadcast import Listener, placed_orders
from shop.models import Order
from shop.notices import order_notice

PAGE = 100
MAX_DIGITS = 18  # fits every database's largest id
RECONNECT_MILLISECONDS = 1_000
TOO_SLOW = f"You fell more than {placed_orders.capacity} orders behind. Reconnect with Last-Event-ID to get the rest."


class OrderStreamView(AsyncAPIView):
    """GET: every order, from now on or from `Last-Event-ID`, until the client leaves or the server stops."""

    services = {"listener": placed_orders.listen}  # noqa: RUF012 (read only); it lives until the stream has ended
    http_method_names = ("get", "options")  # not HEAD, whose answer would never end

    async def get(self, request: HttpRequest) -> HttpResponseBase:
        """Every order when it is placed: server-sent events, resumed with Last-Event-ID."""
        feed = partial(order_events, self.services.listener)
        return sse(feed, request=request, retry=RECONNECT_MILLISECONDS)


async def order_events(listener: Listener, last_id: str | None) -> AsyncIterator[Event]:
    """Yield missed orders, then new ones; at the end, an event if the client was too slow."""
    # Orders that are both replayed and heard were placed meanwhile: no more than a listener holds.
    # Were one to slip through, a client would know it by its id.
    replayed: deque[int] = deque(maxlen=placed_orders.capacity)
    async for notice in missed_orders(last_id):
        replayed.append(notice["id"])
        yield as_event(notice)
    async for notice in listener:
        if notice["id"] not in replayed:
            yield as_event(notice)
    yield Event(event="too_slow", data=TOO_SLOW)


async def missed_orders(last_id: str | None) -> AsyncIterator[dict[str, Any]]:
    """The orders since the one that the client received last; none for a new client, or for an id that is none."""
    if last_id is None or not last_id.isdecimal() or len(last_id) > MAX_DIGITS:
        return
    last = int(last_id)
    orders = Order.objects.prefetch_related("lines").order_by("pk")
    # A page is one call: however slowly the client reads it, no connection waits for that.
    while page := await orders.filter(pk__gt=last)[:PAGE].alist():
        for order in page:
            yield order_notice(order, order.lines.all())
        last = page[-1].pk


def as_event(notice: dict[str, Any]) -> Event:
    return Event(event="order", id=str(notice["id"]), data=notice)
