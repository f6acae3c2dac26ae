"""One async view per query, so that a request can be measured as a whole."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from benchmarks.queries import get_queries


async def answer(_request: HttpRequest, query: str, times: int) -> JsonResponse:
    """Run a query so many times, one after the other, and tell how many rows the last one had."""
    rows = 0
    for _ in range(times):
        rows = await get_queries().run(query)
    return JsonResponse({"rows": rows})
