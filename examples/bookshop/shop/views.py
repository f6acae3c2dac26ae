"""The shop over HTTP: async views, each a few lines between a request and JSON."""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from daf_orm import get_pool
from shop.errors import NotFoundError, json_errors
from shop.models import Book, Order
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
    "GET /report/": "five queries at the same time",
    "GET /pool/": "statistics of the connection pool",
}


@require_GET
async def index(_request: HttpRequest) -> JsonResponse:
    """What there is to ask."""
    return JsonResponse({"endpoints": ENDPOINTS})


@require_GET
@json_errors
async def book_list(request: HttpRequest) -> JsonResponse:
    """A page of books by title, and how many there are: two queries at the same time."""
    page = Page.from_query(request.GET)
    books = Book.objects.select_related("author").order_by("title", "pk")
    count, found = await asyncio.gather(Book.objects.acount(), books[page.window].alist())
    return JsonResponse(
        {
            "count": count,
            "limit": page.limit,
            "offset": page.offset,
            "results": [book_summary(book) for book in found],
        }
    )


@require_GET
@json_errors
async def book_detail(_request: HttpRequest, pk: int) -> JsonResponse:
    """One book with everything that belongs to it."""
    try:
        book = await Book.objects.with_details().aget(pk=pk)
    except Book.DoesNotExist:
        raise NotFoundError(f"There is no book {pk}.") from None
    return JsonResponse(book_details(book))


@require_GET
@json_errors
async def search(request: HttpRequest) -> JsonResponse:
    """The books that match, one page of them."""
    words, page = search_words(request.GET), Page.from_query(request.GET)
    matching = Book.objects.matching(words).order_by("title", "pk")
    found = await matching[page.window].alist()
    return JsonResponse({"q": words, "results": [book_summary(book) for book in found]})


@require_POST
@json_errors
async def order_create(request: HttpRequest) -> JsonResponse:
    """Sell books: 201 with the order, 400, 404 or 409 with the reason."""
    order = await place_order(OrderRequest.from_request(request))
    await order.afetch_related("lines__book")
    return JsonResponse(order_details(order), status=201, headers={"Location": f"/orders/{order.pk}/"})


@require_GET
@json_errors
async def order_detail(_request: HttpRequest, pk: int) -> JsonResponse:
    """One order with its lines."""
    try:
        order = await Order.objects.prefetch_related("lines__book").aget(pk=pk)
    except Order.DoesNotExist:
        raise NotFoundError(f"There is no order {pk}.") from None
    return JsonResponse(order_details(order))


@require_GET
@json_errors
async def report(_request: HttpRequest) -> JsonResponse:
    """The shop at a glance."""
    return JsonResponse(await shop_report())


@require_GET
async def pool(_request: HttpRequest) -> JsonResponse:
    """The connection pool's statistics, under psycopg_pool's names."""
    return JsonResponse(get_pool().get_stats())
