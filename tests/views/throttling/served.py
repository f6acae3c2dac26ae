"""A small project with a throttle, which several processes serve: ``tests.views.throttling.served:application``.

``SERVED_SETTINGS`` holds its settings as JSON.
"""

import asyncio
import json
import os
import time

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["daf_orm", "daf_views", "daf_views.throttling"],
        MIDDLEWARE=[f"{__name__}.name_worker"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="not a secret",
        **json.loads(os.environ["SERVED_SETTINGS"]),
    )
    django.setup()

from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import async_only_middleware

from daf_views import AsyncAPIView
from daf_views.asgi import get_asgi_application
from daf_views.throttling import AsyncRateThrottle


@async_only_middleware
def name_worker(get_response):
    async def middleware(request):
        response = await get_response(request)
        response["Worker"] = str(os.getpid())
        return response

    return middleware


class Limited(AsyncAPIView):
    throttle = AsyncRateThrottle("10/minute")

    async def authenticate(self, request):
        """Wait until all requests are here, whichever worker has them: then they meet at the throttle."""
        await asyncio.sleep(float(request.GET["at"]) - time.time())

    async def get(self, request):
        return self.success("hello")


async def worker(request):
    return HttpResponse("hello")


urlpatterns = [path("limited", Limited.as_view()), path("worker", worker)]
application = get_asgi_application()
