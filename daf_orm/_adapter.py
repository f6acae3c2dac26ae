"""Let Django's own ``a…`` methods follow the execution rules, in every model, without touching one.

Django's async methods are one line each: ``await sync_to_async(self.method)(…)``. So the adapter is a table of the
modules whose ``sync_to_async`` means "query the database", and of the one method that needs another replacement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from daf_orm._aiterator import AsyncIteration
from daf_orm._django import connections as leased_connections
from daf_orm.patches import Patch, PatchTable
from daf_orm.sync import database_sync_to_async, query_to_async

if TYPE_CHECKING:
    from django.db.models import QuerySet


def aiterator(self: QuerySet[Any], chunk_size: int = 2000) -> AsyncIteration[Any]:
    """Iterate without keeping the rows, on one lease. See ``AsyncQuerySet.aiterator``."""
    return AsyncIteration(self, chunk_size)


def _queries(module: str, why: str, replacement: Any = query_to_async) -> Patch:
    """Return the patch of a module whose ``sync_to_async`` means "query the database"."""
    return Patch(owner=module, name="sync_to_async", replacement=replacement, why=why, is_optional=True)


_AITERATOR: Final = Patch(
    owner="django.db.models.query:QuerySet",
    name="aiterator",
    replacement=aiterator,
    why="its chunks share one connection, which DAF would close after each hop",
)
PATCHES: Final = PatchTable(
    _AITERATOR,
    _queries("django.db.models.query", "querysets, prefetches, async for"),
    _queries("django.db.models.base", "asave, adelete, arefresh_from_db"),
    _queries("django.db.models.fields.related_descriptors", "related managers"),
    _queries("django.contrib.contenttypes.fields", "generic related managers"),
    _queries("django.contrib.auth.backends", "aauthenticate, which hashes; permissions", database_sync_to_async),
    _queries("django.contrib.sessions.backends.base", "sessions without async code", database_sync_to_async),
    _queries("django.contrib.sessions.backends.db", "saving database sessions"),
    _queries("django.core.paginator", "AsyncPaginator over a plain queryset"),
)


def activate(*, optional: bool = True) -> None:
    """Apply the table, or only the required row. Idempotent. Attributes that this Django lacks are skipped."""
    leased_connections.activate()
    PATCHES.activate(None if optional else [_AITERATOR])


def deactivate() -> None:
    """Restore Django."""
    PATCHES.deactivate()
