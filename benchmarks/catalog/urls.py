"""One asynchronous view for each piece of work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import JsonResponse
from django.urls import path

from benchmarks.catalog.work import Async

if TYPE_CHECKING:
    from django.http import HttpRequest


async def one(_request: HttpRequest, pk: int) -> JsonResponse:
    """Answer with a book."""
    return JsonResponse(await Async.one(pk))


async def many(_request: HttpRequest) -> JsonResponse:
    """Answer with books and their authors."""
    return JsonResponse(await Async.many(), safe=False)


async def gathered(_request: HttpRequest, pk: int) -> JsonResponse:
    """Answer with five books."""
    return JsonResponse(await Async.gathered(pk), safe=False)


async def change(_request: HttpRequest, pk: int) -> JsonResponse:
    """Change a book and answer with it."""
    return JsonResponse(await Async.change(pk))


urlpatterns = [
    path("one/<int:pk>", one),
    path("many", many),
    path("gathered/<int:pk>", gathered),
    path("change/<int:pk>", change),
]
