"""The shop for programs: API views, each a few lines between a request and JSON.

What they raise is answered as a problem (RFC 9457); so is an overloaded pool.
"""

from __future__ import annotations

import asyncio

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from daf_orm import get_pool
from daf_views import AsyncAPIView
from daf_views.exceptions import NotFoundError
from daf_views.parsers import JSONParser
from daf_views.throttling import AsyncRateThrottle
from shop.models import Book, Order, Receipt
from shop.ordering import place_order
from shop.reports import shop_report
from shop.representations import book_details, book_summary, order_details
from shop.requests import OrderRequest, Page, search_words

ENDPOINTS = {
    "GET /books/?limit=20&offset=0": "a page of books",
    "GET /books/<id>/": "one book with author, tags and stock",
    "GET /search/?q=<words>": "books by title or author",
    "POST /orders/": 'buy books: {"customer": "ada@example.com", "lines": [{"book": 1, "quantity": 2}]}',
    "GET /orders/<id>/": "one order with its lines",
    "GET /orders/<id>/receipt/": "when its receipt was sent, in the background",
    "GET /orders/stream/": "server-sent events: every order when it is placed",
    "GET /report/": "five queries at the same time",
    "GET /pool/": "statistics of the connection pool",
    "GET /login/, /desk/": "pages for staff",
    "GET /livez, /readyz": "health",
}


class IndexView(AsyncAPIView):
    async def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 (Django passes it)
        """What there is to ask."""
        return self.success({"endpoints": ENDPOINTS})


class BookListView(AsyncAPIView):
    services = {"page": Page.from_request}  # noqa: RUF012 (read only)

    async def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002
        """A page of books by title, and how many there are: two queries at the same time."""
        page = self.services.page
        books = Book.objects.select_related("author").order_by("title", "pk")
        count, found = await asyncio.gather(Book.objects.acount(), books[page.window].alist())
        return self.success(
            {
                "count": count,
                "limit": page.limit,
                "offset": page.offset,
                "results": [book_summary(book) for book in found],
            }
        )


class BookView(AsyncAPIView):
    async def get(self, request: HttpRequest, pk: int) -> HttpResponse:  # noqa: ARG002
        """One book with everything that belongs to it."""
        try:
            book = await Book.objects.with_details().aget(pk=pk)
        except Book.DoesNotExist:
            raise NotFoundError(f"There is no book {pk}.") from None
        return self.success(book_details(book))


class SearchView(AsyncAPIView):
    services = {"page": Page.from_request, "words": search_words}  # noqa: RUF012 (read only)

    async def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002
        """The books that match, one page of them."""
        matching = Book.objects.matching(self.services.words).order_by("title", "pk")
        found = await matching[self.services.page.window].alist()
        return self.success({"q": self.services.words, "results": [book_summary(book) for book in found]})


class OrderListView(AsyncAPIView):
    parsers = (JSONParser,)

    async def post(self, request: HttpRequest) -> HttpResponse:
        """Sell books: 201 with the order, or a problem that says why not."""
        order = await place_order(OrderRequest.from_data(request.data))
        await order.afetch_related("lines__book")
        return self.success(order_details(order), status=201, headers={"Location": f"/orders/{order.pk}/"})


class OrderView(AsyncAPIView):
    async def get(self, request: HttpRequest, pk: int) -> HttpResponse:  # noqa: ARG002
        """One order with its lines."""
        try:
            order = await Order.objects.prefetch_related("lines__book").aget(pk=pk)
        except Order.DoesNotExist:
            raise NotFoundError(f"There is no order {pk}.") from None
        return self.success(order_details(order))


class ReceiptView(AsyncAPIView):
    async def get(self, request: HttpRequest, pk: int) -> HttpResponse:  # noqa: ARG002
        """When the receipt of an order was sent."""
        receipt = await Receipt.objects.filter(order=pk).afirst()
        if receipt is None:
            raise NotFoundError(f"No receipt of order {pk} has been sent yet.")
        return self.success({"order": pk, "sent_at": receipt.sent_at})


class ReportView(AsyncAPIView):
    throttle = AsyncRateThrottle("600/minute")  # of each client, by address
    deadline = settings.REPORT_DEADLINE

    async def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002
        """The shop at a glance."""
        return self.success(await shop_report())


class PoolView(AsyncAPIView):
    async def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002
        """The connection pool's statistics, under psycopg_pool's names."""
        return self.success(get_pool().get_stats())
