"""The URLconf of :mod:`tests.scenarios.packages.traced`."""

import asyncio

from django.db.models import Value
from django.http import HttpResponse
from django.urls import path

from daf_orm import get_pool, transaction
from tests.scenarios.packages.rows.models import Row

on_request = print
"""Called with the number of a request by its view, to identify it to the package under test."""

pins = {0}
"""The numbers of pinned connections, as the views saw them."""


def sync_middleware(get_response):
    """Make what is around the view synchronous, as one old middleware does."""
    return lambda request: get_response(request)


def look():
    pins.add(get_pool().get_stats()["connections_pinned"])


def rows(number):
    return Row.objects.annotate(**{f"n{number}": Value(number)}).order_by("pk")[:1]


async def view(request, number):
    on_request(number)
    await asyncio.gather(anext(aiter(rows(number)), None), rows(number).afirst())
    async with transaction.atomic():
        await rows(number).afirst()
    look()
    return HttpResponse("done")


def sync_view(request, number):
    on_request(number)
    for _ in range(3):
        list(rows(number))
    look()
    return HttpResponse("done")


async def broken(request, number):
    on_request(number)
    await rows(number).afirst()
    raise ValueError(f"of {number}")


urlpatterns = [
    path("view/<int:number>", view),
    path("sync/<int:number>", sync_view),
    path("broken/<int:number>", broken),
]
