"""Managers whose querysets, and whose related managers, are asynchronous in earnest."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.db import models

from daf_orm._async_twins import with_twins
from daf_orm.query import AsyncQuerySet

M = TypeVar("M", bound=models.Model)

_RELATED_METHODS = ("add", "clear", "create", "get_or_create", "remove", "set", "update_or_create")


if TYPE_CHECKING:
    _Manager = models.Manager
else:
    _Manager = models.Manager.from_queryset(AsyncQuerySet)


class AsyncManager(_Manager[M]):
    """``objects = AsyncManager()``: a manager with AsyncQuerySet's methods, also on related objects' managers.

    ``AsyncManager.from_queryset(BookQuerySet)()`` adds a queryset's own methods, whether or not it is an AsyncQuerySet.
    """

    if TYPE_CHECKING:

        async def alist(self) -> list[M]:
            """Evaluate the queryset in one hop, prefetches included, and return its rows."""

    @classmethod
    def from_queryset(cls, queryset_class: type[Any], class_name: str | None = None) -> Any:
        """Return a manager class with the methods of ``queryset_class``, made asynchronous where it is not."""
        return super().from_queryset(_asynchronous(cast("Hashable", queryset_class)), class_name)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Django derives the manager of related objects from this class, with ``a…`` methods of its own."""
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("django."):
            with_twins(*(name for name in _RELATED_METHODS if f"a{name}" in vars(cls)))(cls)


@cache
def _asynchronous(queryset_class: Any) -> Any:
    """Return the queryset class, with AsyncQuerySet's methods if it does not have them."""
    if issubclass(queryset_class, AsyncQuerySet):
        return queryset_class
    if issubclass(AsyncQuerySet, queryset_class):  # Django's own
        return AsyncQuerySet
    return type(f"Async{queryset_class.__name__}", (queryset_class, AsyncQuerySet), {"__reduce__": _reduce})


def _reduce(queryset: Any) -> tuple[Any, ...]:
    """Pickle a queryset whose class has no importable name, by the name of the one it was made of."""
    return _new, (type(queryset).__bases__[0],), queryset.__getstate__()


def _new(queryset_class: type[Any]) -> Any:
    return _asynchronous(cast("Hashable", queryset_class))()


AsyncQuerySet._manager_class = AsyncManager  # noqa: SLF001 - one class in two modules
