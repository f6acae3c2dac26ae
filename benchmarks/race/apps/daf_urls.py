"""DAF: the same plain views, its typed ones, and its stream of events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.urls import path

from benchmarks.api_shop.daf_api import urlpatterns as typed
from benchmarks.race.apps.stock_urls import urlpatterns as plain
from daf_views.streaming import sse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


async def events(_request: HttpRequest) -> HttpResponseBase:
    """Send an event, and keep the stream open."""
    return sse(_events())


async def _events() -> AsyncIterator[str]:
    yield "hello"
    await asyncio.Event().wait()


urlpatterns = [path("events", events), *plain, *typed]
