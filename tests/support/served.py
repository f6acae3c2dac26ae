"""A small project that the tests of servers serve: ``tests.support.served:application``."""

import asyncio

import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["daf_orm", "daf_views"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="not a secret",
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"stderr": {"class": "logging.StreamHandler"}},
            "loggers": {"daf_views": {"handlers": ["stderr"], "level": "INFO"}},
        },
    )
    django.setup()

from django.db import connection

from daf_orm import database_sync_to_async, get_pool
from daf_views.asgi import get_asgi_application, lifespan
from daf_views.health import livez, readyz
from daf_views.streaming import sse

in_flight = accepted = 0


@lifespan.on_startup
async def say_started():
    print("hook: started", flush=True)


@lifespan.on_shutdown
async def say_stopped():
    print(f"hook: stopped, {in_flight} in flight, pool closed: {get_pool().closed}", flush=True)


async def slow(request):
    """Take a while, and use the database before and after."""
    global in_flight, accepted  # noqa: PLW0603 - the test asks for it
    in_flight += 1
    accepted += 1
    await database_sync_to_async(_select)()
    await asyncio.sleep(float(request.GET["seconds"]))
    answer = await database_sync_to_async(_select)()
    in_flight -= 1
    return HttpResponse(answer)


def _select():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'answered'")
        return cursor.fetchone()[0]


async def how_many(request):
    return HttpResponse(str(accepted))


async def endless(request):
    async def events():
        number = 0
        while True:
            yield {"number": number}
            number += 1
            await asyncio.sleep(0.05)

    return sse(events())


urlpatterns = [
    path("slow", slow),
    path("accepted", how_many),
    path("endless", endless),
    path("livez", livez),
    path("readyz", readyz),
]
application = get_asgi_application()
