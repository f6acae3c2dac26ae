"""The desk, where staff see the last orders and buy in what is sold out."""

from __future__ import annotations

import asyncio

from django.contrib import messages
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from daf_views import AsyncView
from daf_views.access import LoginRequiredMixin, UserPassesTestMixin
from daf_views.exceptions import NotFoundError
from shop.branches import branch_now
from shop.broadcast import stock_changes, stock_notice
from shop.models import Book, Order, RestockRequest, Stock

LAST_ORDERS = 20
NEW_COPIES = 20


@method_decorator(never_cache, name="dispatch")
class StaffView(LoginRequiredMixin, UserPassesTestMixin, AsyncView):
    """Strangers are sent to the login page, customers are refused."""

    async def test_func(self) -> bool:
        return (await self.request.auser()).is_staff


class DeskView(StaffView):
    async def get(self, request: HttpRequest) -> HttpResponse:
        orders, wanted = await asyncio.gather(last_orders(), wanted_books())
        # The handler renders it, in one hop.
        context = {"branch": branch_now(), "orders": orders, "wanted": wanted}
        return TemplateResponse(request, "shop/desk.html", context)


class RestockView(StaffView):
    atomic = True

    async def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Put new copies of a book on the shelf, once for each time it was asked for."""
        book = await aget_object_or_404(Book, pk=pk)
        asked, _ = await RestockRequest.objects.filter(book=book).adelete()
        if not asked:
            raise NotFoundError(f"There is no restock request for book {pk}.")
        await Stock.objects.filter(pk=book.pk).aupdate(quantity=F("quantity") + NEW_COPIES)
        await stock_changes.apublish(stock_notice([await Stock.objects.aget(pk=book.pk)]))
        messages.success(request, f"{NEW_COPIES} new copies of “{book}” are on the shelf.")
        return redirect("desk")


async def last_orders() -> list[Order]:
    return await Order.objects.with_lines().order_by("-pk")[:LAST_ORDERS].alist()


async def wanted_books() -> list[RestockRequest]:
    wanted = RestockRequest.objects.select_related("book").order_by("requested_at", "pk")
    return await wanted[:LAST_ORDERS].alist()
