"""adrf: Django REST framework's views, asynchronous."""

from __future__ import annotations

import asyncio
from typing import Any

from adrf.views import APIView
from django.urls import path
from rest_framework.response import Response

from benchmarks.api_shop.adrf_api import urlpatterns as typed
from benchmarks.catalog.work import Async
from benchmarks.race.works import UPSTREAM_SECONDS


class _View(APIView):
    authentication_classes = permission_classes = ()


class Hello(_View):
    """Nothing to do."""

    async def get(self, request: Any) -> Response:  # noqa: ARG002 - a view takes one
        """Answer at once."""
        return Response({"message": "hello"})


class One(_View):
    """A book."""

    async def get(self, request: Any, pk: int) -> Response:  # noqa: ARG002
        """Answer with it."""
        return Response(await Async.one(pk))


class Many(_View):
    """Books and their authors."""

    async def get(self, request: Any) -> Response:  # noqa: ARG002
        """Answer with them."""
        return Response(await Async.many())


class Gathered(_View):
    """Five books."""

    async def get(self, request: Any, pk: int) -> Response:  # noqa: ARG002
        """Answer with them."""
        return Response(await Async.gathered(pk))


class Change(_View):
    """A book."""

    async def get(self, request: Any, pk: int) -> Response:  # noqa: ARG002
        """Change it and answer with it."""
        return Response(await Async.change(pk))


class Account(_View):
    """The user of the session."""

    async def get(self, request: Any) -> Response:
        """Answer with the name; without authentication classes it is Django's."""
        user = await request._request.auser()  # noqa: SLF001 - REST framework's documented way to Django's request
        return Response({"user": user.get_username()})


class Slow(_View):
    """Something else between two queries."""

    async def get(self, request: Any, pk: int) -> Response:  # noqa: ARG002
        """Wait for it."""
        before = await Async.one(pk)
        await asyncio.sleep(UPSTREAM_SECONDS)
        return Response([before, await Async.one(pk)])


urlpatterns = [
    path("hello", Hello.as_view()),
    path("one/<int:pk>", One.as_view()),
    path("many", Many.as_view()),
    path("gathered/<int:pk>", Gathered.as_view()),
    path("change/<int:pk>", Change.as_view()),
    path("account", Account.as_view()),
    path("slow/<int:pk>", Slow.as_view()),
    *typed,
]
