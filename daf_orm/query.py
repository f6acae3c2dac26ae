"""Querysets whose ``a…`` methods and asynchronous iteration run by the rules of :mod:`daf_orm._execution.run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from django.db import models
from django.db.models.query import RawQuerySet

from daf_orm import _execution
from daf_orm._aiterator import AsyncIteration
from daf_orm._async_twins import with_twins
from daf_orm._django.querysets import fetch_of, mark_built_with_as_manager, needs_fetch
from daf_orm._queryset_methods import QuerySetMethods

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from typing import Self

    import typing_extensions

    from daf_orm import AsyncManager

    M_co = typing_extensions.TypeVar("M_co", bound=models.Model, covariant=True)
    Row_co = typing_extensions.TypeVar("Row_co", covariant=True, default=M_co)
else:
    M_co = TypeVar("M_co", bound=models.Model, covariant=True)
    Row_co = TypeVar("Row_co", covariant=True)

MYPY = False  # mypy takes this name for true


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
class AsyncQuerySet(QuerySetMethods[M_co, Row_co]):
    """A queryset that is safe and parallel in async code: each ``a…`` method is one thread hop on one connection.

    ``async for`` and :meth:`alist` evaluate it in one hop; :meth:`aiterator` streams large results in chunks. The
    synchronous methods are Django's own.
    """

    _manager_class: ClassVar[type[models.Manager[Any]]]  # set by daf_orm.manager, which is made from this class

    async def alist(self) -> list[Row_co]:
        """Evaluate the queryset in one hop, prefetches included, and return its rows."""
        await _evaluate(self)
        return list(self)

    async def __aiter__(self) -> AsyncIterator[Row_co]:
        await _evaluate(self)
        for row in self:
            yield row

    def aiterator(self, chunk_size: int = 2000) -> AsyncIteration[Row_co]:
        """Iterate without keeping the rows, ``chunk_size`` of them per hop, on one lease.

        The lease is returned, and a server-side cursor closed, as soon as the loop is left, also by ``break``. Queries
        in the loop run on the same lease. Raises ValueError at the first row if ``chunk_size`` is not positive.
        """
        return AsyncIteration(self, chunk_size)

    def raw(
        self,
        raw_query: Any,
        params: Sequence[Any] | Mapping[str, Any] = (),
        translations: dict[str, str] | None = None,
        using: str | None = None,
    ) -> AsyncRawQuerySet[M_co]:
        """Return the rows of an SQL query as model instances; iterate with ``async for``, or :meth:`alist`."""
        return _as_async(super().raw(raw_query, params=params, translations=translations, using=using))

    if MYPY:  # django-stubs' plugin adds the queryset's methods to the manager

        @classmethod
        def as_manager(cls) -> AsyncManager[M_co]:
            """Return an AsyncManager with this queryset's methods."""

    else:  # other checkers know no type that has both: to them it is the queryset, which has nearly all methods

        @classmethod
        def as_manager(cls) -> Self:
            """Return an AsyncManager with this queryset's methods."""
            manager = cls._manager_class.from_queryset(cls)()
            mark_built_with_as_manager(manager)
            return manager

        as_manager.queryset_only = True


class AsyncRawQuerySet(RawQuerySet, Generic[M_co]):  # type: ignore[type-arg] # Django's cannot be subscripted
    """The rows of an SQL query as model instances, fetched in one hop."""

    async def alist(self) -> list[M_co]:
        """Evaluate the query in one hop, prefetches included, and return its rows."""
        await _evaluate(self)
        return list(self)

    async def __aiter__(self) -> AsyncIterator[M_co]:
        await _evaluate(self)
        for row in self:
            yield row

    def using(self, alias: str | None) -> Self:
        """Return the same query for another database."""
        return _as_async(super().using(alias))  # type: ignore[return-value]

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[M_co]: ...
        def __getitem__(self, k: Any) -> Any: ...


def _as_async(plain: RawQuerySet[Any]) -> AsyncRawQuerySet[Any]:
    """Return Django's RawQuerySet as an async one. Django makes plain ones, whatever class is asked."""
    plain.__class__ = AsyncRawQuerySet
    return plain  # type: ignore[return-value]


async def _evaluate(queryset: Any) -> None:
    """Fill the queryset's result cache off the event loop, unless it is filled."""
    if needs_fetch(queryset):
        await _execution.run(fetch_of(queryset))
