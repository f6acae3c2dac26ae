"""State that all processes of a site share, for throttles and idempotency keys.

It is kept in a Django cache or in a table; a setting may name which. A background sweep deletes the expired
rows of a table.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import random
import threading
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections, router

from daf_orm import database_sync_to_async
from daf_views._core.drain import current_drain
from daf_views._core.logs import log_error

if TYPE_CHECKING:
    from collections.abc import Callable

SWEEP_EVERY = 1000
"""Operations of a process between two sweeps, and rows deleted at most in each."""


class SharedCache:
    """A Django cache, for all threads. Raises ImproperlyConfigured if there is none of that alias."""

    def __init__(self, alias: str, *, setting: str) -> None:
        try:
            cache = caches[alias]
        except InvalidCacheBackendError as error:
            raise ImproperlyConfigured(f"DAF_VIEWS[{setting!r}]: there is no cache {alias!r}. {error}") from error
        kind = type(cache)
        self.alias = alias
        self.name = f"{alias!r} ({kind.__module__}.{kind.__qualname__})"
        self.is_per_process = isinstance(cache, LocMemCache)
        # A cache that cannot increment atomically reads and then writes, in add() too.
        self.has_atomic_operations = inspect.unwrap(kind.incr) is not inspect.unwrap(BaseCache.incr)
        self._local = threading.local()  # not every cache's client may be shared by threads

    def get(self) -> BaseCache:
        """Return this thread's cache."""
        if (cache := getattr(self._local, "cache", None)) is None:
            # Not caches[alias]: that is a new one, with new connections, in each request.
            cache = self._local.cache = caches.create_connection(self.alias)
        return cache


class SharedTable:
    """The table of a model, in the database ``alias``; None is the one that a router chooses, or the default one.

    Raises ImproperlyConfigured if its application is not installed, or there is no such database.
    """

    def __init__(self, model: str, alias: str | None, *, app: str, setting: str, user: str) -> None:
        if not apps.is_installed(app):
            raise ImproperlyConfigured(f'The database {user} needs "{app}" in INSTALLED_APPS.')
        if alias is not None and alias not in connections:
            raise ImproperlyConfigured(f"DAF_VIEWS[{setting!r}]: there is no database {alias!r}.")
        self.model = apps.get_model(model)
        self._alias = alias

    @property
    def database(self) -> str:
        """The alias of its database."""
        return self._alias or router.db_for_write(self.model)

    def rows(self) -> Any:
        """Return all its rows."""
        return self.model._base_manager.using(self.database)  # noqa: SLF001 - Meta API


class Sweeper:
    """Calls a function that deletes expired rows after every ``SWEEP_EVERY`` operations, in the background."""

    def __init__(self, sweep: Callable[[], object], what: str) -> None:
        self._sweep = sweep
        self._what = what
        self._operations = itertools.count(random.randrange(SWEEP_EVERY))  # noqa: S311 - so that processes take turns

    def count(self) -> None:
        """Count an operation, on the event loop."""
        if next(self._operations) % SWEEP_EVERY == 0:
            current_drain().keep(asyncio.get_running_loop().create_task(self._run()))

    async def _run(self) -> None:
        try:
            await database_sync_to_async(self._sweep)()
        except Error as error:  # they are deleted the next time
            await log_error(f"{self._what} were not deleted.", error=error)
