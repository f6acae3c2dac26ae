"""Let Django's own ``a…`` methods follow the execution rules, in every model, without touching one.

Django's async methods are one line each: ``await sync_to_async(self.method)(…)``. So the adapter is a table of the
modules whose ``sync_to_async`` means "query the database", and of what cannot be done that way.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from daf_orm._aiterator import AsyncIteration
from daf_orm._django import connections as leased_connections
from daf_orm.sync import database_sync_to_async

if TYPE_CHECKING:
    from django.db.models import QuerySet


class Patch(NamedTuple):
    """One attribute of Django's that is replaced, and why."""

    owner: str
    """Module, or module and class as ``module:Class``."""
    name: str
    replacement: Any
    why: str
    optional: bool = True
    """Whether Django works without it, although DAF closes a worker thread's connection after each hop."""


def aiterator(self: QuerySet[Any], chunk_size: int = 2000) -> AsyncIteration[Any]:
    """Iterate without keeping the rows, on one lease. See ``AsyncQuerySet.aiterator``."""
    return AsyncIteration(self, chunk_size)


PATCHES = (
    Patch("django.db.models.query", "sync_to_async", database_sync_to_async, "querysets, prefetches, async for"),
    Patch("django.db.models.query:QuerySet", "aiterator", aiterator, "its chunks share one connection", optional=False),
    Patch("django.db.models.base", "sync_to_async", database_sync_to_async, "asave, adelete, arefresh_from_db"),
    Patch("django.db.models.fields.related_descriptors", "sync_to_async", database_sync_to_async, "related managers"),
    Patch("django.contrib.contenttypes.fields", "sync_to_async", database_sync_to_async, "generic related managers"),
    Patch(
        "django.contrib.auth.backends", "sync_to_async", database_sync_to_async, "aauthenticate, aget_user, permissions"
    ),
    Patch(
        "django.contrib.sessions.backends.base", "sync_to_async", database_sync_to_async, "sessions without async code"
    ),
    Patch("django.contrib.sessions.backends.db", "sync_to_async", database_sync_to_async, "saving database sessions"),
    Patch("django.core.paginator", "sync_to_async", database_sync_to_async, "AsyncPaginator over a plain queryset"),
)

_originals: list[tuple[Any, str, Any]] = []


def activate(*, optional: bool = True) -> None:
    """Apply the table, or what Django needs of it. Idempotent. Attributes that this Django lacks are passed over."""
    leased_connections.activate()
    done = {(owner, name) for owner, name, _ in _originals}
    for patch in PATCHES:
        owner = _owner(patch.owner)
        if owner is None or not hasattr(owner, patch.name) or (owner, patch.name) in done:
            continue
        if optional or not patch.optional:
            _originals.append((owner, patch.name, vars(owner)[patch.name]))
            setattr(owner, patch.name, patch.replacement)


def deactivate() -> None:
    """Put Django back as it was."""
    while _originals:
        owner, name, original = _originals.pop()
        setattr(owner, name, original)


def _owner(path: str) -> Any:
    module_name, _, class_name = path.partition(":")
    try:
        module = import_module(module_name)
    except (ImportError, RuntimeError):  # an application that is not installed cannot always be imported
        return None
    return getattr(module, class_name) if class_name else module
