# Django methods that return another QuerySet type than that of their queryset. Here it is an AsyncQuerySet, too.

import datetime as dt
from collections.abc import Sequence
from typing import Any, Literal

from django.db.models import Model, QuerySet
from django.db.models.expressions import Combinable
from typing_extensions import TypeVar

from daf_orm.query import AsyncQuerySet

_M_co = TypeVar("_M_co", bound=Model, covariant=True)
_Row_co = TypeVar("_Row_co", covariant=True, default=_M_co)

class QuerySetMethods(QuerySet[_M_co, _Row_co]):
    @classmethod
    def as_manager(cls) -> Any: ...
    def values(self, *fields: str | Combinable, **expressions: Any) -> AsyncQuerySet[_M_co, dict[str, Any]]: ...
    def values_list(
        self, *fields: str | Combinable, flat: bool = False, named: bool = False
    ) -> AsyncQuerySet[_M_co, Any]: ...
    def dates(
        self,
        field_name: str,
        kind: Literal["year", "month", "week", "day"],
        order: Literal["ASC", "DESC"] = "ASC",
    ) -> AsyncQuerySet[_M_co, dt.date]: ...
    def datetimes(
        self,
        field_name: str,
        kind: Literal["year", "month", "week", "day", "hour", "minute", "second"],
        order: Literal["ASC", "DESC"] = "ASC",
        tzinfo: dt.tzinfo | None = None,
    ) -> AsyncQuerySet[_M_co, dt.datetime]: ...
    def extra(
        self,
        select: dict[str, Any] | None = None,
        where: Sequence[str] | None = None,
        params: Sequence[Any] | None = None,
        tables: Sequence[str] | None = None,
        order_by: Sequence[str | Combinable] | None = None,
        select_params: Sequence[Any] | None = None,
    ) -> AsyncQuerySet[_M_co, Any]: ...
