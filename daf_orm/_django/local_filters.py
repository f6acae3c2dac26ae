"""Filters on columns of a query's own table: the conditions that ``Query.add_q()`` makes of them, without its search.

Django resolves each name of a filter by its steps for joins. For such a column no step finds a join.
"""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from operator import attrgetter
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q
from django.db.models.constants import LOOKUP_SEP
from django.db.models.sql import query as queries
from django.db.models.sql.query import Query
from django.db.models.sql.where import AND, WhereNode

from daf_orm._django.known_sql import FIELDS, JOINED_BY, LOOKUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS: Final = FIELDS - JOINED_BY
VALUES: Final = frozenset(
    {int, str, bool, float, bytes, Decimal, uuid.UUID} | {dt.datetime, dt.date, dt.time, dt.timedelta}
)
"""Classes of values that are neither expressions nor rows."""
read_steps: Final = attrgetter(
    "_add_q",
    "_get_col",
    "build_filter",
    "build_lookup",
    "check_filterable",
    "demote_joins",
    "get_meta",
    "join",
    "names_to_path",
    "resolve_lookup_value",
    "setup_joins",
    "solve_lookup_type",
    "trim_joins",
)


def is_of_query(method: Any) -> bool:
    """Return True if Django's class ``Query`` defines a method, and no other code has wrapped it."""
    return type(method) is FunctionType and method.__globals__ is vars(queries)


_STEPS: Final = read_steps(Query) if all(map(is_of_query, read_steps(Query))) else ()


def local_conditions(query: Any, condition: Any) -> list[Any]:
    """Return the conditions that a ``Q`` is to a query; none if Django has to make them, or to refuse them."""
    if type(query) is not Query or type(condition) is not Q or read_steps(Query) != _STEPS:
        return []
    model, values = query.model, vars(query)
    if (
        model is None
        or condition.negated
        or condition.connector != AND
        or not values["alias_cols"]
        or values["annotations"]
        or values["_filtered_relations"]
        or query.combined_queries
        or next(iter(values["alias_map"]), model._meta.db_table) != model._meta.db_table
    ):
        return []
    table = model._meta.db_table
    try:
        found = [_found(model, child) for child in condition.children]
        made = [kind(field.get_col(table), value) for kind, field, value in found]
    except Exception:  # noqa: BLE001 - of a value: Django raises it, too
        return []
    for lookup in made:
        if lookup.rhs is None or lookup.rhs == "":  # Django may make another one of it
            return []
    return made


def condition_on_key(model: Any, key: Any) -> Any:
    """Return the condition ``pk=key`` on a model's own table. Raises ValueError if Django has to make it."""
    kind, field, value = _found(model, ("pk", key))
    lookup = kind(field.get_col(model._meta.db_table), value)
    if lookup.rhs is None or lookup.rhs == "":
        raise ValueError("a key that Django may make another condition of")
    return lookup


def _found(model: Any, child: Any) -> tuple[Any, Any, Any]:
    """Return the lookup, the column and the value of a condition. Raises ValueError if it may be more than those."""
    name, value = child
    if type(value) is list:
        value = [*value]  # the caller may change its own
    if type(value) not in VALUES and not (type(value) in {list, tuple} and VALUES.issuperset(map(type, value))):
        raise ValueError("a value that has to be resolved")
    name, separator, lookup_name = name.partition(LOOKUP_SEP)
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    if type(field) not in COLUMNS or field.model is not model:
        raise ValueError("a column of another table")
    kind = field.get_lookup(lookup_name if separator else "exact")
    if kind not in LOOKUPS:
        raise ValueError("an unknown lookup")
    return kind, field, value


def add_conditions(query: Any, conditions: list[Any], *, reuse_all: bool) -> None:
    """Add conditions to a query as ``Query.add_q()`` does."""
    alias: Any = None
    for _ in conditions:  # each is one more reference to the table
        alias = query.get_initial_alias()
    query._lookup_joins = [alias]
    if not reuse_all:
        query.used_aliases.add(alias)
    query.where.add(WhereNode(conditions), AND)


def differences(one: Any, other: Any) -> Iterator[str]:
    """Yield the names of attributes in which two queries differ."""
    of_one, of_other = vars(one), vars(other)
    yield from sorted(of_one.keys() ^ of_other.keys())
    for name in sorted(of_one.keys() & of_other.keys()):
        if not _same(of_one[name], of_other[name]):
            yield name


def _same(one: Any, other: Any) -> bool:
    return one is other or one == other or repr(one) == repr(other)  # a NaN is not equal to another
