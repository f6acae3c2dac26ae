"""A view that needs another program's answer, and does not wait for it longer than its own client would."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.http import HttpRequest

from daf_views import AsyncAPIView
from daf_views.exceptions import NotFoundError, ServiceUnavailableError
from daf_views.openapi import raises
from shop.api.books import find_book
from shop.schemas import Id, OfferOut
from shop.supplier import price_of


class OfferView(AsyncAPIView):
    deadline = settings.SUPPLIER_DEADLINE  # then the request to the supplier is cancelled, and the answer is 504

    @raises(NotFoundError, ServiceUnavailableError)
    async def get(self, request: HttpRequest, pk: Id) -> OfferOut:  # noqa: ARG002 (Django passes it)
        """The price at which the supplier sells a book; 504 if it does not say so in time."""
        book = await find_book(pk)  # no connection is held while the supplier is asked
        return OfferOut(book=pk, price=Decimal(await price_of(book.isbn)))
