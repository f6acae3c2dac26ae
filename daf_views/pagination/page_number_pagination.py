"""``PageNumberPagination``: ``?page=2``, with the number of all results.

Django's ``Paginator`` does the arithmetic, in a worker thread: its count and its page are one hop on one connection,
where ``AsyncPaginator`` (Django 6.0) makes two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core import paginator as django_paginator

from daf_orm.sync import query_to_async
from daf_views.exceptions import NotFoundError
from daf_views.pagination.links import url_with
from daf_views.pagination.ordering import with_tie_breaker
from daf_views.pagination.page import Page
from daf_views.pagination.paginator import Paginator, as_queryset
from daf_views.pagination.query_parameters import LARGEST, QueryParameter, read_number

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


@dataclass(frozen=True, kw_only=True)
class NumberedPage(Page):
    """A page, its number, and the number of pages."""

    count: int
    """Number of results on all pages."""
    number: int
    pages: int
    """Number of pages: 1 if there are no results."""

    def envelope(self, items: Sequence[Any]) -> dict[str, Any]:
        """Return ``{"count", "page", "pages", "results"}``."""
        return {"count": self.count, "page": self.number, "pages": self.pages, "results": list(items)}


@dataclass(frozen=True, kw_only=True)
class PageNumberPagination(Paginator):
    """Pages by number, counted from 1: ``?page=2``, or the parameter ``page_param``.

    A page beyond the last is answered 404, an invalid number 400. Rows that are equal in the queryset's ordering are
    ordered by primary key, so that the order is the same on all pages. Other options: see
    :class:`~daf_views.pagination.paginator.Paginator`.
    """

    page_param: str = "page"

    async def paginate(self, request: HttpRequest, queryset: Any) -> NumberedPage:
        """Return the page, by two queries in one hop. Raises ValueError if the queryset is not ordered."""
        number = read_number(request, self.page_param, default=1)
        size = self.read_size(request)
        ordered = with_tie_breaker(as_queryset(queryset))
        items, count, pages = await query_to_async(_fetch)(ordered, number, size)
        if number > pages:
            raise NotFoundError(f"Page {number} does not exist: the last page is {pages}.", code="no_such_page")
        links = self._links(request, number, pages)
        return NumberedPage(items=items, links=links, count=count, number=number, pages=pages)

    def parameters(self) -> list[QueryParameter]:
        """Return the parameter for the page, and that for its size where clients may choose it."""
        schema = {"type": "integer", "minimum": 1, "maximum": LARGEST, "default": 1}
        page = QueryParameter(name=self.page_param, schema=schema, description="The number of the page.")
        return [page, *Paginator.parameters(self)]

    def envelope_schema(self, item_schema: dict[str, Any]) -> dict[str, Any]:
        """Return a JSON schema of the body, given that of an item."""
        properties: dict[str, Any] = {
            "count": {"type": "integer", "minimum": 0, "description": "Number of results on all pages."},
            "page": {"type": "integer", "minimum": 1},
            "pages": {"type": "integer", "minimum": 1},
            "results": {"type": "array", "items": item_schema},
        }
        return {"type": "object", "required": list(properties), "properties": properties}

    def _links(self, request: HttpRequest, number: int, pages: int) -> dict[str, str]:
        numbers = {"first": 1, "prev": number - 1, "next": number + 1, "last": pages}
        return {
            rel: url_with(request, **{self.page_param: str(each)})
            for rel, each in numbers.items()
            if 1 <= each <= pages
        }


def _fetch(queryset: QuerySet[Any], number: int, size: int) -> tuple[list[Any], int, int]:
    """Return the items, the number of all, and that of pages. Rows beyond the last page are not queried."""
    paginator = django_paginator.Paginator(queryset, size)
    items = list(paginator.page(number)) if number <= paginator.num_pages else []
    return items, paginator.count, paginator.num_pages
