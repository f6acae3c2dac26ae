"""The bookshop's queries through Django's own async methods; ``examples/bookshop/shop`` says what they do."""

from __future__ import annotations

import asyncio
from typing import Any

from django.db.models import Avg, Count, F, Q, QuerySet, Sum
from django.http import HttpRequest, JsonResponse

from benchmarks.stock_shop.models import Book, OrderLine, Stock, Tag


async def book_list(request: HttpRequest) -> JsonResponse:
    """A page of books by title, and how many there are."""
    page, size = int(request.GET.get("page", 1)), int(request.GET.get("page_size", 20))
    books = Book.objects.select_related("author").order_by("title", "pk")[(page - 1) * size : page * size]
    count, found = await asyncio.gather(Book.objects.acount(), _list(books))
    results = [
        {
            "id": book.pk,
            "title": book.title,
            "author": {"id": book.author.pk, "name": book.author.name},
            "price": book.price,
        }
        for book in found
    ]
    return JsonResponse({"count": count, "page": page, "pages": -(-count // size), "results": results})


async def book_detail(_request: HttpRequest, pk: int) -> JsonResponse:
    """One book with everything that belongs to it."""
    details = Book.objects.select_related("author", "stock", "restock_request").prefetch_related("tags")
    book = await details.aget(pk=pk)
    return JsonResponse(
        {
            "id": book.pk,
            "isbn": book.isbn,
            "title": book.title,
            "price": book.price,
            "published": book.published,
            "author": {"id": book.author.pk, "name": book.author.name, "born": book.author.born},
            "tags": sorted(tag.name for tag in book.tags.all()),
        }
    )


async def report(_request: HttpRequest) -> JsonResponse:
    """The shop at a glance: five queries gathered."""
    sold = Book.objects.annotate(sold=Sum("order_lines__quantity")).filter(sold__gt=0)
    counted = Tag.objects.annotate(titles=Count("books"))
    catalogue, shelves, sales, best, tags = await asyncio.gather(
        Book.objects.aaggregate(books=Count("pk"), authors=Count("author", distinct=True), average_price=Avg("price")),
        Stock.objects.aaggregate(copies=Sum("quantity"), sold_out=Count("pk", filter=Q(quantity=0))),
        OrderLine.objects.aaggregate(
            orders=Count("order_id", distinct=True),
            copies=Sum("quantity"),
            revenue=Sum(F("quantity") * F("unit_price")),
        ),
        _list(sold.order_by("-sold", "pk").values("id", "title", "sold")[:5]),
        _list(counted.order_by("-titles", "name").values("name", "titles")[:5]),
    )
    return JsonResponse({"catalogue": catalogue, "stock": shelves, "sales": sales, "bestsellers": best, "tags": tags})


async def _list(queryset: QuerySet[Any, Any]) -> list[Any]:
    return [row async for row in queryset]
