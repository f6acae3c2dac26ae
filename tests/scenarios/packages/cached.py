"""A program: django-cachalot, which caches rows by query and drops them when their table changes, and many requests.

Each reads its row, changes it in a block, half of which are rolled back, and reads it again; while the block is open,
another request reads the row. ``python -m tests.scenarios.packages.cached`` prints the answers that are wrong.
"""

import asyncio
import json

from tests.scenarios.packages import traced

traced.configure(apps=["cachalot"], DEBUG_PROPAGATE_EXCEPTIONS=True, ROOT_URLCONF=__name__)

# ruff: noqa: E402 - models can be imported now
from django.core.cache import caches
from django.db import transaction as django_transaction
from django.http import JsonResponse
from django.urls import path

from daf_orm import get_pool, transaction
from tests.scenarios.packages.rows.models import Row
from tests.support.exchange import exchange

pins = {0}
changed, looked = {}, {}


class Undo(Exception):
    pass


def undo(number):
    if number % 2:
        raise Undo


def expected(number):
    old, new = f"old {number}", f"new {number}"
    return [old, old, new, old if number % 2 else new]


async def owner_of(number):
    return (await Row.objects.aget(pk=number)).owner


async def change(request, number):
    seen = [await owner_of(number), await owner_of(number)]
    try:
        async with transaction.atomic():
            await Row.objects.filter(pk=number).aupdate(owner=f"new {number}")
            seen.append(await owner_of(number))
            changed[number].set()
            await looked[number].wait()
            undo(number)
    except Undo:
        pass
    pins.add(get_pool().get_stats()["connections_pinned"])
    return JsonResponse([*seen, await owner_of(number)], safe=False)


def sync_change(request, number):
    seen = [Row.objects.get(pk=number).owner, Row.objects.get(pk=number).owner]
    try:
        with django_transaction.atomic():
            Row.objects.filter(pk=number).update(owner=f"new {number}")
            seen.append(Row.objects.get(pk=number).owner)
            undo(number)
    except Undo:
        pass
    pins.add(get_pool().get_stats()["connections_pinned"])
    return JsonResponse([*seen, Row.objects.get(pk=number).owner], safe=False)


async def read(request, number):
    return JsonResponse(await owner_of(number), safe=False)


urlpatterns = [
    path("async/<int:number>", change),
    path("sync/<int:number>", sync_change),
    path("read/<int:number>", read),
]


async def ask(application, number):
    """Return what a request has seen, and what another has while the first was in its block, if that was wrong."""
    kind = ("async", "async", "sync", "sync")[number % 4]
    changed[number], looked[number] = asyncio.Event(), asyncio.Event()
    asking = asyncio.create_task(exchange(application, path=f"/{kind}/{number}"))
    beside = f"old {number}"
    if kind == "async":
        await asyncio.wait([asking, asyncio.create_task(changed[number].wait())], return_when="FIRST_COMPLETED")
        beside = json.loads((await exchange(application, path=f"/read/{number}")).body)
        looked[number].set()
    answer = json.loads((await asking).body)
    again = json.loads((await exchange(application, path=f"/read/{number}")).body)
    right = (expected(number), f"old {number}", expected(number)[-1])
    return None if (answer, beside, again) == right else [number, answer, beside, again]


async def main():
    application, some = traced.application(), asyncio.Semaphore(5)  # for readers beside open blocks

    async def ask_one(number):
        async with some:
            return await ask(application, number)

    answers = await asyncio.gather(*map(ask_one, range(1, traced.REQUESTS + 1)))
    wrong = [answer for answer in answers if answer is not None]
    print(json.dumps({"pinned": max(pins), "wrong": wrong, "cached": len(caches["default"]._cache)}))


if __name__ == "__main__":
    traced.make_tables()
    Row.objects.bulk_create(Row(pk=number, owner=f"old {number}") for number in range(1, traced.REQUESTS + 1))
    asyncio.run(main())
