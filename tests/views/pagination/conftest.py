"""Rows in a table, and a client that follows links."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncRequestFactory

from daf_views import AsyncAPIView

requests = AsyncRequestFactory()


async def page(pagination: Any, queryset: Any, path: str = "/rows", **query: Any) -> Any:
    """Return the page of a request, as a view gets it."""
    return await pagination.paginate(requests.get(path, query), queryset)


async def follow(pagination: Any, queryset: Any, url: str) -> Any:
    """Return the page that a link leads to."""
    return await pagination.paginate(requests.get(url), queryset)


@pytest.fixture
def answer() -> Callable[..., Any]:
    """Answer a GET by a view with a paginator, and a queryset; return the response, and its JSON.

    ``query`` is a dict, or the text after the question mark.
    """

    async def respond(
        pagination: Any, queryset: Any, query: dict[str, Any] | str | None = None, shape: Any = None
    ) -> Any:
        class Rows(AsyncAPIView):
            async def get(self, request):
                return await self.paginate(queryset, shape)

        Rows.pagination = pagination
        sent = {"QUERY_STRING": query} if isinstance(query, str) else {"data": query}
        response = await Rows.as_view()(requests.get("/rows", **sent))
        return response, json.loads(response.content)

    return respond
