"""Orders for programs: placed by all clients, read with a permission, because they name the customer."""

from __future__ import annotations

from typing import Annotated

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from daf_views import AsyncAPIView
from daf_views.api import JSONParser, Status
from daf_views.auth import HasPerms
from daf_views.exceptions import ConflictError, NotFoundError
from daf_views.idempotency import IdempotencyKey
from daf_views.openapi import raises
from daf_views.pagination import CursorPagination
from shop.api.authentication import BY_TOKEN_OR_SESSION
from shop.api.permissions import HasPermsUnless
from shop.models import Order, Receipt
from shop.ordering import place_order
from shop.schemas import Id, OrderIn, OrderOut, ReceiptOut


class OrderListView(AsyncAPIView):
    authentication = BY_TOKEN_OR_SESSION
    permissions = (HasPermsUnless({"POST"}, "shop.view_order"),)
    parsers = (JSONParser,)
    pagination = CursorPagination(size=20, max_size=100)
    # One transaction for the order, its stock, and what is remembered of the key: a POST that is sent again takes no
    # second copy, whenever the first was cut off.
    atomic = True
    idempotency = IdempotencyKey()

    async def get(self, request: HttpRequest) -> list[OrderOut]:  # noqa: ARG002 (Django passes it)
        """Orders, the newest first, one page of them."""
        orders: QuerySet[Order] = Order.objects.with_lines().order_by("-placed_at", "-pk")
        return orders

    @raises(NotFoundError, ConflictError)
    async def post(self, request: HttpRequest, body: OrderIn) -> Annotated[OrderOut, Status(201)]:  # noqa: ARG002
        """Buy books: all of the order, or none of it."""
        placed = await place_order(body.customer, body.quantities())
        self.response_headers["Location"] = reverse("order", args=[placed.pk])
        return await find_order(placed.pk)


class OrderView(AsyncAPIView):
    authentication = BY_TOKEN_OR_SESSION
    permissions = (HasPerms("shop.view_order"),)

    async def get(self, request: HttpRequest, pk: Id) -> OrderOut:  # noqa: ARG002
        """One order with its lines."""
        return await find_order(pk)


class ReceiptView(AsyncAPIView):
    authentication = BY_TOKEN_OR_SESSION
    permissions = (HasPerms("shop.view_order"),)

    async def get(self, request: HttpRequest, pk: Id) -> ReceiptOut:  # noqa: ARG002
        """When the receipt of an order was sent; 404 until then."""
        receipt = await Receipt.objects.filter(order=pk).afirst()
        if receipt is None:
            raise NotFoundError(f"No receipt of order {pk} has been sent yet.")
        return ReceiptOut(order=pk, sent_at=receipt.sent_at)


async def find_order(pk: int) -> Order:
    try:
        return await Order.objects.with_lines().aget(pk=pk)
    except Order.DoesNotExist:
        raise NotFoundError(f"There is no order {pk}.") from None
