"""One asynchronous view for each piece of work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import JsonResponse
from django.urls import path

from benchmarks.catalog.work import Async

if TYPE_CHECKING:
    from django.http import HttpRequest


async def answer(_request: HttpRequest, work: str) -> JsonResponse:
    """Do a piece of work and answer with what it found."""
    return JsonResponse(await getattr(Async, work)(), safe=False)


urlpatterns = [path("<work>/", answer)]
