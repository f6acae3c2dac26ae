"""django-modern-rest with msgspec."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from dmr import Controller, Path
from dmr.plugins.msgspec import MsgspecSerializer
from dmr.routing import path

from benchmarks.api_shop.dmr_api import urlpatterns as typed
from benchmarks.catalog.work import Async
from benchmarks.race.works import UPSTREAM_SECONDS


class BookPath(msgspec.Struct):
    """The book in a path."""

    pk: int


class Hello(Controller[MsgspecSerializer]):
    """Nothing to do."""

    async def get(self) -> dict[str, str]:
        """Answer at once."""
        return {"message": "hello"}


class One(Controller[MsgspecSerializer]):
    """A book."""

    async def get(self, parsed_path: Path[BookPath]) -> dict[str, Any]:
        """Answer with it."""
        return await Async.one(parsed_path.pk)


class Many(Controller[MsgspecSerializer]):
    """Books and their authors."""

    async def get(self) -> list[dict[str, Any]]:
        """Answer with them."""
        return await Async.many()


class Gathered(Controller[MsgspecSerializer]):
    """Five books."""

    async def get(self, parsed_path: Path[BookPath]) -> list[dict[str, Any]]:
        """Answer with them."""
        return await Async.gathered(parsed_path.pk)


class Change(Controller[MsgspecSerializer]):
    """A book."""

    async def get(self, parsed_path: Path[BookPath]) -> dict[str, Any]:
        """Change it and answer with it."""
        return await Async.change(parsed_path.pk)


class Account(Controller[MsgspecSerializer]):
    """The user of the session."""

    async def get(self) -> dict[str, str]:
        """Answer with the name."""
        user = await self.request.auser()
        return {"user": user.get_username()}


class Slow(Controller[MsgspecSerializer]):
    """Something else between two queries."""

    async def get(self, parsed_path: Path[BookPath]) -> list[dict[str, Any]]:
        """Wait for it."""
        before = await Async.one(parsed_path.pk)
        await asyncio.sleep(UPSTREAM_SECONDS)
        return [before, await Async.one(parsed_path.pk)]


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
