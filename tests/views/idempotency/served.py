"""A small project that takes orders, and is killed: ``tests.views.idempotency.served:application``.

``SERVED_SETTINGS`` holds its settings as JSON. ``SERVED_KILL`` names where the process kills itself, once: as long as
there is no file ``SERVED_KILLED``.
"""

import asyncio
import json
import os
import signal
from pathlib import Path

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "daf_orm",
            "daf_views",
            "daf_views.idempotency",
            "tests.project.library",
        ],
        MIDDLEWARE=[f"{__name__}.die_before_the_answer"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="not a secret",
        **json.loads(os.environ["SERVED_SETTINGS"]),
    )
    django.setup()

from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import async_only_middleware

from daf_orm import database_sync_to_async
from daf_views import AsyncAPIView
from daf_views.asgi import get_asgi_application
from daf_views.health import livez
from daf_views.idempotency import IdempotencyKey
from daf_views.idempotency.stores.database import DatabaseStore
from tests.project.library.models import Event


def die(place):
    killed = Path(os.environ.get("SERVED_KILLED", os.devnull))
    if os.environ.get("SERVED_KILL") == place and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@async_only_middleware
def die_before_the_answer(get_response):
    async def middleware(request):
        response = await get_response(request)
        response["Worker"] = str(os.getpid())
        if request.method == "POST":
            die("answer")
        return response

    return middleware


class DeadlyStore(DatabaseStore):
    """Dies after it has claimed, and after it has written the answer, which is not committed yet."""

    async def claim(self, claim):
        record = await super().claim(claim)
        die("claim")
        return record

    async def finish(self, claim, answer):
        die("effect")
        is_finished = await super().finish(claim, answer)
        die("done")
        return is_finished


class Order(AsyncAPIView):
    atomic = True
    idempotency = IdempotencyKey(store=DeadlyStore(), lease=float(os.environ.get("SERVED_LEASE", "0.5")))

    async def async_setup(self, request, *args, **kwargs):
        die("handler")

    async def post(self, request):
        """Stay in the handler until there is a file that the test names, for others to come meanwhile."""
        event = await database_sync_to_async(Event._base_manager.create)(name="order")
        while (until := request.data.get("until")) and not await asyncio.to_thread(Path(until).exists):
            await asyncio.sleep(0.05)
        return self.success({"id": event.pk}, status=201)


class Apart(Order):
    atomic = False


async def effects(request):
    return HttpResponse(str(await database_sync_to_async(Event._base_manager.count)()))


urlpatterns = [
    path("orders", Order.as_view()),
    path("apart", Apart.as_view()),
    path("effects", effects),
    path("livez", livez),
]
application = get_asgi_application()
