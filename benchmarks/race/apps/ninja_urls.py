"""django-ninja."""

from __future__ import annotations

import asyncio
from typing import Any

from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI

from benchmarks.api_shop.ninja_api import urlpatterns as typed
from benchmarks.catalog.work import Async
from benchmarks.race.works import UPSTREAM_SECONDS

api = NinjaAPI(urls_namespace="race")


@api.get("/hello")
async def hello(request: HttpRequest) -> Any:  # noqa: ARG001 - an operation takes one
    """Answer at once."""
    return {"message": "hello"}


@api.get("/one/{pk}")
async def one(request: HttpRequest, pk: int) -> Any:  # noqa: ARG001
    """Answer with a book."""
    return await Async.one(pk)


@api.get("/many")
async def many(request: HttpRequest) -> Any:  # noqa: ARG001
    """Answer with books and their authors."""
    return await Async.many()


@api.get("/gathered/{pk}")
async def gathered(request: HttpRequest, pk: int) -> Any:  # noqa: ARG001
    """Answer with five books."""
    return await Async.gathered(pk)


@api.get("/change/{pk}")
async def change(request: HttpRequest, pk: int) -> Any:  # noqa: ARG001
    """Change a book and answer with it."""
    return await Async.change(pk)


@api.get("/account")
async def account(request: HttpRequest) -> Any:
    """Answer with the name of the user of the session."""
    user = await request.auser()
    return {"user": user.get_username()}


@api.get("/slow/{pk}")
async def slow(request: HttpRequest, pk: int) -> Any:  # noqa: ARG001
    """Query, wait for something else, query."""
    before = await Async.one(pk)
    await asyncio.sleep(UPSTREAM_SECONDS)
    return [before, await Async.one(pk)]


urlpatterns = [path("", api.urls), *typed]
