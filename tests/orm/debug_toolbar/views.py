"""Views that do a known amount of what the panel shows, when a test lets them."""

import asyncio
import contextlib

from django.db import connection
from django.http import HttpResponse

from daf_orm import BlockingCallError, database_sync_to_async, get_pool, transaction
from tests.project.library.models import Author

arrived: dict[str, asyncio.Event] = {}
"""By the request's ``name``: set once its view runs."""
go_on = asyncio.Event()
lent: list[int] = []
"""Leases that the pool has lent while one request was loaded."""


def reset():
    global go_on  # noqa: PLW0603 - of the running test's loop
    arrived.clear()
    lent.clear()
    go_on = asyncio.Event()


def warm(request):
    return page()


async def gate(request):
    arrived.setdefault(request.GET.get("name", ""), asyncio.Event()).set()
    await go_on.wait()


def page():
    return HttpResponse("<body>done</body>")


async def load(request, leases):
    """Make so many calls in the task, and as many in tasks that it starts."""
    await gate(request)
    before = get_pool().get_stats()["requests_num"]
    for _ in range(leases):
        await Author.objects.acount()
    await asyncio.gather(*(Author.objects.acount() for _ in range(leases)))
    lent.append(get_pool().get_stats()["requests_num"] - before)
    return page()


async def block(request, times):
    """Block the loop so often; the errors are swallowed, as a template does."""
    await gate(request)
    for _ in range(times):
        with contextlib.suppress(BlockingCallError):
            Author.objects.filter(name=request.GET.get("name", "<script>alert('&')</script>")).count()
        await asyncio.sleep(0)  # let the other requests block in between
    return page()


STATEMENTS = {"sqlite": "PRAGMA cache_size = 123 -- <b>", "postgresql": "SET lock_timeout = 1234 -- <b>"}


def set_something():
    with connection.cursor() as cursor:
        cursor.execute(STATEMENTS.get(connection.vendor, "SET @daf = 1 -- <b>"))


async def pin(request):
    """Set something on the session."""
    await gate(request)
    await database_sync_to_async(set_something)()
    return page()


async def wait(request):
    """Wait for a connection, and hold it until the test goes on."""
    name = request.GET["name"]
    arrived[name] = asyncio.Event()
    async with transaction.atomic():
        await Author.objects.acount()
        arrived[name].set()
        await go_on.wait()
    return page()
