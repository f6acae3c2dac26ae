"""A program: django-pghistory, whose triggers keep each change with its request's address, and many requests at once.

``python -m tests.scenarios.packages.history`` prints the changes that are recorded for another request.
"""

import asyncio
import json
import os
from collections import Counter

from tests.scenarios.packages import traced

WAY = os.environ.get("TRACED_WAY", "middleware")
traced.configure(
    ["pghistory.middleware.HistoryMiddleware"] if WAY == "middleware" else [],
    ["pgtrigger", "pghistory", "tests.scenarios.packages.tracked"],
    DAF_VIEWS={"THREAD_PER_REQUEST": WAY == "context"},
    DEBUG_PROPAGATE_EXCEPTIONS=True,
    PGTRIGGER_INSTALL_ON_MIGRATE=True,
    ROOT_URLCONF=__name__,
    SILENCED_SYSTEM_CHECKS=["models.W042"],
)

# ruff: noqa: E402 - models can be imported now
import pghistory
from django.apps import apps
from django.http import HttpResponse
from django.urls import path

from daf_orm import database_sync_to_async, get_pool, transaction
from tests.scenarios.packages.tracked.models import Note
from tests.support.exchange import exchange

pins = {0}


def rename(number):
    Note.objects.filter(number=number).update(text="by hand")


async def change(request, number):
    if WAY == "middleware":
        return await _change(number)
    async with pghistory.context(url=f"/async/{number}"):
        return await _change(number)


async def _change(number):
    note = await Note.objects.acreate(number=number, text="new")
    async with transaction.atomic():
        await Note.objects.filter(number=number).aupdate(text="in a block")
    await asyncio.gather(database_sync_to_async(rename)(number), note.asave())
    pins.add(get_pool().get_stats()["connections_pinned"])
    return HttpResponse("done")


def sync_change(request, number):
    note = Note.objects.create(number=number, text="new")
    Note.objects.filter(number=number).update(text="again")
    rename(number)
    note.save()
    pins.add(get_pool().get_stats()["connections_pinned"])
    return HttpResponse("done")


urlpatterns = [path("async/<int:number>", change), path("sync/<int:number>", sync_change)]


def kind_of(number):
    return "async" if WAY == "context" or number % 2 else "sync"


async def main():
    application = traced.application()
    numbers = range(1, traced.REQUESTS + 1)
    await asyncio.gather(*(exchange(application, path=f"/{kind_of(number)}/{number}") for number in numbers))


def told():
    """Return for each number the addresses and the contexts that its changes are told with, and how many there are."""
    found = {}
    for event in apps.get_model("tracked", "NoteEvent").objects.select_related("pgh_context"):
        urls, contexts, changes = found.setdefault(event.number, (set(), set(), Counter()))
        urls.add(event.pgh_context and event.pgh_context.metadata["url"])
        contexts.add(event.pgh_context_id)
        changes[event.pgh_label] += 1
    return found


if __name__ == "__main__":
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", run_syncdb=True, verbosity=0)
    connection.close()
    asyncio.run(main())
    seen = told()
    wrong = [
        [number, *map(sorted, (map(str, urls), map(str, contexts))), changes]
        for number, (urls, contexts, changes) in seen.items()
        if urls != {f"/{kind_of(number)}/{number}"} or len(contexts) != 1 or changes != {"insert": 1, "update": 3}
    ]
    connection.close()
    print(json.dumps({"pinned": max(pins), "requests": len(seen), "wrong": wrong}))
