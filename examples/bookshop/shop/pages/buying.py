"""Buying a book on its page: the same order as that of a program."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import aget_object_or_404, redirect
from django.template.response import TemplateResponse

from daf_views import AsyncView
from daf_views.exceptions import ConflictError
from shop.models import Book
from shop.ordering import place_order
from shop.pages.forms import BuyForm


class BuyView(AsyncView):
    async def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Place the order; show the page again, with a message, where that is not possible."""
        book = await aget_object_or_404(Book.objects.with_details(), pk=pk)
        form = BuyForm(request.POST)
        if not form.is_valid():
            # The handler renders it, in one hop.
            return TemplateResponse(request, "shop/book_detail.html", {"book": book, "buy_form": form})
        try:
            order = await place_order(form.cleaned_data["customer"], {book.pk: form.cleaned_data["quantity"]})
        except ConflictError as error:
            messages.error(request, error.detail)
        else:
            messages.success(request, f"Thank you: order {order.pk}, and its receipt is on the way.")
        return redirect(book)
