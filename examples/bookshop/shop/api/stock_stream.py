"""The copies of a book on the shelf, live: whichever process sells one, each open page shows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from daf_views import AsyncAPIView
from daf_views.exceptions import NotFoundError
from daf_views.openapi import raises
from daf_views.streaming import Event, Gap, Subscription, sse
from shop.broadcast import stock_changes
from shop.models import Stock
from shop.schemas import Id


class StockStreamView(AsyncAPIView):
    """GET: the number of copies now, and whenever it changes."""

    services = {"changes": stock_changes.subscribe}  # noqa: RUF012 (read only); it lives until the stream has ended
    http_method_names = ("get", "options")  # not HEAD, whose answer would never end

    @raises(NotFoundError)
    async def get(self, request: HttpRequest, pk: Id) -> HttpResponseBase:  # noqa: ARG002 (Django passes it)
        """The number of copies on the shelf, now and after every change: server-sent events."""
        # Subscribed already: a sale between this query and the first message is in one of the two.
        return sse(quantities(pk, await quantity_of(pk), self.services.changes))


async def quantities(pk: int, quantity: int, changes: Subscription) -> AsyncIterator[Event]:
    yield as_event(quantity)
    async for change in changes:
        if isinstance(change, Gap):
            yield as_event(await quantity_of(pk))
        for each in () if isinstance(change, Gap) else change:
            if each["book"] == pk:
                yield as_event(each["quantity"])


async def quantity_of(pk: int) -> int:
    stock = await Stock.objects.filter(pk=pk).afirst()
    if stock is None:
        raise NotFoundError(f"There is no book {pk}.")
    return stock.quantity


def as_event(quantity: int) -> Event:
    data: dict[str, Any] = {"quantity": quantity}
    return Event(event="stock", data=data)
