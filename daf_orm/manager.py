"""Managers whose querysets, and whose related managers, are asynchronous in earnest."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db import models

from daf_orm.offload import with_twins
from daf_orm.query import AsyncQuerySet

M = TypeVar("M", bound=models.Model)

_RELATED_METHODS = ("add", "clear", "create", "get_or_create", "remove", "set", "update_or_create")


class AsyncManager(models.Manager.from_queryset(AsyncQuerySet)[M]):  # type: ignore[misc] # a class made at run time
    """``objects = AsyncManager()``: a manager with AsyncQuerySet's methods, also on related objects' managers.

    ``AsyncManager.from_queryset(BookQuerySet)()`` adds a queryset's own methods, whether or not it is an AsyncQuerySet.
    """

    @classmethod
    def from_queryset(cls, queryset_class: type[Any], class_name: str | None = None) -> type[AsyncManager[Any]]:
        """Return a manager class with the methods of ``queryset_class``, made asynchronous where it is not."""
        if not issubclass(queryset_class, AsyncQuerySet):
            queryset_class = type(f"Async{queryset_class.__name__}", (queryset_class, AsyncQuerySet), {})
        return super().from_queryset(queryset_class, class_name)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Django derives the manager of related objects from this class, with ``a…`` methods of its own."""
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("django."):
            with_twins(*(name for name in _RELATED_METHODS if f"a{name}" in vars(cls)))(cls)
