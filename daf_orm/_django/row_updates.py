"""The UPDATE statement by which ``Model.save()`` writes one row: the structure of its SQL, and its parameters.

Django filters a queryset by the primary key, makes an UPDATE query of it, and compiles that. Here only the values and
the key are prepared, by Django's fields and its lookup.
"""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db.models import QuerySet
from django.db.models import base as models_base
from django.db.models.sql.constants import ROW_COUNT
from django.db.models.sql.query import Query
from django.db.models.sql.subqueries import UpdateQuery

from daf_orm._django.expression_shapes import Unkept, name_of
from daf_orm._django.known_sql import FIELDS
from daf_orm._django.local_filters import VALUES, condition_on_key, read_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_PLAIN: Final = VALUES | {type(None)}
_PLACEHOLDERS: Final = ("get_placeholder", "get_placeholder_sql")
_queryset_steps: Final = attrgetter(
    "_chain",
    "_clone",
    "_filter_or_exclude",
    "_filter_or_exclude_inplace",
    "_update",
    "db",
    "filter",
    "query",
)
_query_steps: Final = attrgetter(
    "_setup_query",
    "add_update_fields",
    "chain",
    "clone",
    "compiler",
    "get_compiler",
    "get_related_updates",
)
_compiler_steps: Final = attrgetter("as_sql", "execute_sql")


class RowUpdate(NamedTuple):
    """One UPDATE of one row."""

    key: tuple[Any, ...]
    """The structure of its SQL."""
    fields: tuple[Any, ...]
    lookup: Any
    """The condition on the primary key."""
    compiler: Any
    parameters: list[Any]


def is_of_model(method: Any) -> bool:
    """Return True if Django's module of models defines a method, and no other code has wrapped it."""
    return type(method) is FunctionType and method.__globals__ is vars(models_base)


def row_update(queryset: Any, key: Any, values: Sequence[tuple[Any, Any, Any]]) -> RowUpdate:
    """Return the UPDATE of the row with a primary key, in a queryset of the base manager. Raises Unkept.

    ``values`` are fields, their models, and their new values. Errors of fields that refuse a value are passed on.
    """
    kind = type(queryset)
    if kind is not QuerySet and _queryset_steps(kind) != _queryset_steps(QuerySet):
        raise Unkept(name_of(kind))
    query = queryset.query
    if not _is_new(query):
        raise Unkept("UPDATE in a base manager that filters")
    try:
        lookup = condition_on_key(query.model, key)
    except Exception as error:
        raise Unkept("UPDATE by another condition than that on a key of the same table") from error
    compiler = UpdateQuery(query.model).get_compiler(queryset.db)
    connection = compiler.connection
    shape: list[Any] = [query.model, compiler.using, type(lookup), id(lookup.lhs.target)]
    parameters: list[Any] = []
    for field, _, value in values:
        if type(field) not in FIELDS:
            raise Unkept(f"field {name_of(type(field))}")
        if type(value) not in _PLAIN and (
            hasattr(value, "resolve_expression") or hasattr(value, "prepare_database_save")
        ):
            raise Unkept("UPDATE to an expression")
        prepared = field.get_db_prep_save(value, connection)
        if type(prepared) not in _PLAIN and hasattr(prepared, "as_sql"):
            raise Unkept("UPDATE to an expression")
        shape += (id(field), prepared is None)  # a NULL is no parameter before Django 6.1
        parameters.append(prepared)
    sql, of_key = lookup.process_rhs(compiler, connection)
    shape.append(sql)
    parameters += of_key
    return RowUpdate(tuple(shape), tuple([field for field, _, _ in values]), lookup, compiler, parameters)


def _is_new(query: Any) -> bool:
    """Return True if nothing was done to a query that an UPDATE would keep."""
    return type(query) is Query and not (
        query.alias_map or query.where.children or query.is_sliced or query.combinator or query.annotations
    )


def compiled_by_django(queryset: Any, key: Any, values: Sequence[tuple[Any, Any, Any]]) -> tuple[str, Sequence[Any]]:
    """Return SQL and parameters of the same UPDATE as Django compiles it."""
    query = queryset.filter(pk=key).query.chain(UpdateQuery)
    query.add_update_fields(values)
    query.annotations = {}
    sql, parameters = query.get_compiler(queryset.db).as_sql()
    return sql, parameters


def execute(compiler: Any, sql: str, parameters: Sequence[Any]) -> int:
    """Execute an UPDATE by Django's compiler, and return the number of rows."""
    compiler.as_sql = lambda: (sql, tuple(parameters))
    rows: int = compiler.execute_sql(ROW_COUNT)
    return rows


def readers_of_update(compiler: Any) -> Iterator[Callable[[], Any]]:
    """Yield functions that read the steps of Django by which such an UPDATE is made and executed."""
    yield partial(_queryset_steps, QuerySet)
    yield partial(_query_steps, UpdateQuery)
    yield partial(read_steps, Query)
    for kind in type(compiler).__mro__[:-1]:
        yield partial(_compiler_steps, kind)
    yield partial(getattr, type(compiler), "execute_returning_sql", None)  # since Django 6.0, save() takes this one


def has_placeholder(field: Any) -> bool:
    """Return True if a field writes its own SQL around a value."""
    return any(hasattr(field, name) for name in _PLACEHOLDERS)
