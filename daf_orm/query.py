"""Querysets whose ``a…`` methods and asynchronous iteration run by the rules of :mod:`daf_orm._execution.run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.db import models
from django.db.models.query import RawQuerySet

from daf_orm import _execution
from daf_orm._aiterator import AsyncIteration
from daf_orm._async_twins import with_twins
from daf_orm._django.querysets import fetch_of, mark_built_with_as_manager, needs_fetch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

M = TypeVar("M", bound=models.Model)
Row = TypeVar("Row")


@with_twins(
    "aggregate",
    "bulk_create",
    "bulk_update",
    "contains",
    "count",
    "create",
    "delete",
    "earliest",
    "exists",
    "explain",
    "first",
    "get",
    "get_or_create",
    "in_bulk",
    "last",
    "latest",
    "update",
    "update_or_create",
)
class AsyncQuerySet(models.QuerySet[M, Row]):
    """A queryset that is safe and parallel in async code: each ``a…`` method is one thread hop on one connection.

    ``async for`` and :meth:`alist` evaluate it in one hop; :meth:`aiterator` streams large results in chunks. The
    synchronous methods are Django's own.
    """

    _manager_class: ClassVar[type[models.Manager[Any]]]  # set by daf_orm.manager, which is made from this class

    async def alist(self) -> list[Row]:
        """Evaluate the queryset in one hop, prefetches included, and return its rows."""
        await _evaluate(self)
        return list(self)

    async def __aiter__(self) -> AsyncIterator[Row]:
        await _evaluate(self)
        for row in self:
            yield row

    def aiterator(self, chunk_size: int = 2000) -> AsyncIteration[Row]:
        """Iterate without keeping the rows, ``chunk_size`` of them per hop, on one lease.

        The lease is given back, and a server-side cursor closed, as soon as the loop is left, be it by ``break``.
        Queries in the loop run on the same lease.
        """
        return AsyncIteration(self, chunk_size)

    def raw(
        self,
        raw_query: Any,
        params: Sequence[Any] | Mapping[str, Any] = (),
        translations: dict[str, str] | None = None,
        using: str | None = None,
    ) -> AsyncRawQuerySet:
        """Return the rows of an SQL query as model instances; iterate with ``async for``, or :meth:`alist`."""
        return _as_async(super().raw(raw_query, params=params, translations=translations, using=using))

    @classmethod
    def as_manager(cls) -> models.Manager[Any]:
        """Return an AsyncManager with this queryset's methods."""
        manager = cls._manager_class.from_queryset(cls)()
        mark_built_with_as_manager(manager)
        return manager

    as_manager.queryset_only = True  # type: ignore[attr-defined]


class AsyncRawQuerySet(RawQuerySet):  # type: ignore[type-arg] # cannot be subscripted at run time
    """The rows of an SQL query as model instances, fetched in one hop."""

    async def alist(self) -> list[Any]:
        """Evaluate the query in one hop, prefetches included, and return its rows."""
        await _evaluate(self)
        return list(self)

    async def __aiter__(self) -> AsyncIterator[Any]:
        await _evaluate(self)
        for row in self:
            yield row

    def using(self, alias: str | None) -> AsyncRawQuerySet:
        """Return the same query for another database."""
        return _as_async(super().using(alias))


def _as_async(plain: RawQuerySet[Any]) -> AsyncRawQuerySet:
    """Django makes RawQuerySets by that name, whatever the class it is asked in."""
    plain.__class__ = AsyncRawQuerySet
    return plain  # type: ignore[return-value]


async def _evaluate(queryset: Any) -> None:
    """Fill the queryset's result cache off the event loop, unless it is filled."""
    if needs_fetch(queryset):
        await _execution.run(fetch_of(queryset))
