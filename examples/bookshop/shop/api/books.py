"""Books for programs: public to list and search, changed by staff.

Errors of the views are answered as problems (RFC 9457), as is an overloaded pool.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from django.db import IntegrityError
from django.db.models import F, QuerySet
from django.http import HttpRequest
from msgspec import UNSET
from msgspec.structs import asdict

from daf_views import AsyncAPIView
from daf_views.api import JSONParser, Query
from daf_views.conditional import ConditionalView, EntityTag, compare_and_set
from daf_views.exceptions import ConflictError, NotFoundError
from daf_views.openapi import raises
from daf_views.pagination import PageNumberPagination
from shop.api.authentication import BY_TOKEN_OR_SESSION
from shop.api.permissions import HasPermsUnless
from shop.models import Author, Book, Stock
from shop.schemas import BookChanges, BookFilters, BookIn, BookOut, BookSummary, Id, StockOut


class BookListView(AsyncAPIView):
    pagination = PageNumberPagination(size=20, max_size=100)

    async def get(
        self,
        request: HttpRequest,  # noqa: ARG002 (Django passes it)
        filters: Annotated[BookFilters, Query()],
    ) -> list[BookSummary]:
        """Books by title, one page of them."""
        found: QuerySet[Book] = Book.objects.matching(filters.q).order_by("title", "pk")
        if filters.author is not UNSET:
            found = found.filter(author=filters.author)
        if filters.in_stock:
            found = found.filter(stock__quantity__gt=0)
        return found


class BookView(ConditionalView, AsyncAPIView):
    authentication = BY_TOKEN_OR_SESSION
    permissions = (HasPermsUnless({"GET"}, "shop.change_book"),)
    parsers = (JSONParser,)
    requires_if_match = True

    async def get(self, request: HttpRequest, pk: Id) -> BookOut:
        """One book; 304 if the client has this version already."""
        book = await find_book(pk)
        self.check_preconditions(request, book)
        return book

    @raises(NotFoundError, ConflictError)
    async def put(self, request: HttpRequest, pk: Id, body: BookIn) -> BookOut:
        """Replace a book, except its tags: the version that If-Match names, and no other."""
        return await self.change(request, pk, asdict(body))

    @raises(NotFoundError, ConflictError)
    async def patch(self, request: HttpRequest, pk: Id, body: BookChanges) -> BookOut:
        """Change some of a book: of the version that If-Match names, and no other."""
        given = {name: value for name, value in asdict(body).items() if value is not UNSET}
        return await self.change(request, pk, given)

    async def change(self, request: HttpRequest, pk: int, changes: dict[str, Any]) -> Book:
        book = await find_book(pk)
        self.check_preconditions(request, book)
        await write_over(book, changes)
        changed = await find_book(pk)
        self.response_headers["ETag"] = str(EntityTag.of(changed.version))
        return changed

    def etag_of(self, instance: Book) -> int:
        return instance.version


class StockView(AsyncAPIView):
    async def get(self, request: HttpRequest, pk: Id) -> StockOut:  # noqa: ARG002
        """The number of copies of a book on the shelf."""
        stock = await Stock.objects.select_related("book__restock_request").filter(pk=pk).afirst()
        if stock is None:
            raise NotFoundError(f"There is no book {pk}.")
        return StockOut(quantity=stock.quantity, restock_requested=hasattr(stock.book, "restock_request"))


async def find_book(pk: int) -> Book:
    try:
        return await Book.objects.with_details().aget(pk=pk)
    except Book.DoesNotExist:
        raise NotFoundError(f"There is no book {pk}.") from None


async def write_over(book: Book, changes: dict[str, Any]) -> None:
    """Write, in one statement, unless the book has changed since it was read."""
    if "price" in changes:
        changes["price"] = Decimal(changes["price"])
    if "author" in changes and not await Author.objects.filter(pk=changes["author"]).aexists():
        raise ConflictError(f"There is no author {changes['author']}.", code="no_such_author")
    seen = Book.objects.filter(pk=book.pk, version=book.version)
    try:
        await compare_and_set(seen, version=F("version") + 1, **changes)
    except IntegrityError:
        raise ConflictError("Another book has this ISBN.", code="isbn_taken") from None
