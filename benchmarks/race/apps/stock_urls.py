"""Plain asynchronous Django views: for Django alone, and for engines that change only what is under the ORM."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.http import JsonResponse, StreamingHttpResponse
from django.urls import include, path

from benchmarks.catalog.work import Async
from benchmarks.race.works import UPSTREAM_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.http import HttpRequest


async def hello(_request: HttpRequest) -> JsonResponse:
    """Answer at once."""
    return JsonResponse({"message": "hello"})


async def account(request: HttpRequest) -> JsonResponse:
    """Answer with the name of the user of the session."""
    user = await request.auser()
    return JsonResponse({"user": user.get_username()})


async def slow(_request: HttpRequest, pk: int) -> JsonResponse:
    """Query, wait for something else, query."""
    before = await Async.one(pk)
    await asyncio.sleep(UPSTREAM_SECONDS)
    return JsonResponse([before, await Async.one(pk)], safe=False)


async def events(_request: HttpRequest) -> StreamingHttpResponse:
    """Send an event, and keep the stream open."""
    return StreamingHttpResponse(_events(), content_type="text/event-stream")


async def _events() -> AsyncIterator[bytes]:
    yield b"data: hello\n\n"
    await asyncio.Event().wait()


urlpatterns = [
    path("events", events),
    path("hello", hello),
    path("account", account),
    path("slow/<int:pk>", slow),
    path("", include("benchmarks.catalog.urls")),
]
