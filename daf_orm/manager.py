"""Managers whose querysets and related managers are asynchronous."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, overload

from django.db import models

from daf_orm._async_twins import with_twins
from daf_orm._manager_methods import ManagerMethods
from daf_orm.query import AsyncQuerySet

M_co = TypeVar("M_co", bound=models.Model, covariant=True)
Q = TypeVar("Q", bound="AsyncQuerySet[Any, Any]")

_RELATED_METHODS = ("add", "clear", "create", "get_or_create", "remove", "set", "update_or_create")

MYPY = False  # mypy takes this name for true

if TYPE_CHECKING:
    from typing import Self

    T = TypeVar("T")
    Owner = TypeVar("Owner", bound=models.Model)

    class _Exactly(Protocol[T]):
        """An instance of the class ``T``, and of no subclass."""

        _self: list[T]

    class ModelObjects:
        """``AsyncModel.objects``: a manager of the model that it is asked of. Any other may be put in its place.

        That is why instances have no overload: mypy compares a manager with what it finds on an instance, and finds
        nothing there.
        """

        @overload
        def __get__(self, instance: None, owner: type[Owner]) -> AsyncManager[Owner]: ...
        @overload
        def __get__(self, instance: ModelObjects, owner: None) -> AsyncManager[Any]: ...
        def __get__(self, instance: Any, owner: Any) -> Any: ...


class AsyncManager(ManagerMethods[M_co]):
    """``objects = AsyncManager()``: a manager with AsyncQuerySet's methods, also on related objects' managers.

    ``AsyncManager.from_queryset(BookQuerySet)()`` adds the methods of any queryset class.
    """

    if TYPE_CHECKING:
        if not MYPY:  # django-stubs' plugin gives managers their model; here the class that they are asked of does
            _self: list[Self]

            @overload
            def __get__(
                self: _Exactly[AsyncManager[Any]], instance: None, owner: type[Owner]
            ) -> AsyncManager[Owner]: ...
            @overload
            def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    # Only django-stubs' plugin knows a type that has the methods of both. To other checkers it is the queryset.
    @overload
    @classmethod
    def from_queryset(cls, queryset_class: type[Q], class_name: str | None = None) -> type[Q]: ...
    @overload
    @classmethod
    def from_queryset(cls, queryset_class: type[models.QuerySet[Any]], class_name: str | None = None) -> Any: ...
    @classmethod
    def from_queryset(cls, queryset_class: type[Any], class_name: str | None = None) -> Any:
        """Return a manager class with the methods of ``queryset_class``, made asynchronous where it is not."""
        return super().from_queryset(_asynchronous(cast("Hashable", queryset_class)), class_name)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give the managers of related objects, which Django derives from this class, their ``a…`` methods."""
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
    """Pickle a queryset whose class has no importable name, by the name of the class it was made from."""
    return _new, (type(queryset).__bases__[0],), queryset.__getstate__()


def _new(queryset_class: type[Any]) -> Any:
    return _asynchronous(cast("Hashable", queryset_class))()


AsyncQuerySet._manager_class = AsyncManager  # noqa: SLF001 - one class in two modules
