"""A small project that enqueues tasks, which is told to stop in the middle: ``tests.views.tasks.served:application``.

Each task writes its number into the file ``SERVED_DONE`` when it has ended.
"""

import asyncio
import os
import random
from pathlib import Path

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DAF_VIEWS={"DRAIN_TIMEOUT": 1.0},
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["daf_orm", "daf_views"],
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"stderr": {"class": "logging.StreamHandler"}},
            "loggers": {"daf_views": {"handlers": ["stderr"], "level": "INFO"}},
        },
        ROOT_URLCONF=__name__,
        SECRET_KEY="not a secret",
        TASKS={"default": {"BACKEND": "daf_views.tasks.InProcessBackend", "OPTIONS": {"CONCURRENCY": 5}}},
    )
    django.setup()

from django.http import HttpResponse
from django.urls import path

from daf_orm import database_sync_to_async
from daf_views.asgi import get_asgi_application
from daf_views.health import livez
from daf_views.tasks import async_task


@async_task
async def work(number):
    await asyncio.sleep(random.choice([0, 0.01, 0.1, 3]))
    await database_sync_to_async(write)(number)


def write(number):
    with Path(os.environ["SERVED_DONE"]).open("a") as file:
        file.write(f"{number}\n")


async def enqueue(request):
    result = await work.aenqueue(request.GET["number"])
    return HttpResponse(result.id)


urlpatterns = [path("enqueue", enqueue), path("livez", livez)]
application = get_asgi_application()
