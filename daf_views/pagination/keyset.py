"""The condition of a page: the rows beyond a position, by the keys that they are ordered by.

The keys are annotated, so that their values come with each row in the same query, even if ``only()``, ``values()`` or
a relation leaves them out. The condition and the ordering then use the very same expression.

NULLs stand where the database itself puts them: first on SQLite, last on PostgreSQL, the other way round if
descending. An explicit NULLS FIRST would leave an index on the column unused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.models import ExpressionWrapper, F, FloatField, Model, Q, QuerySet

from daf_views._django.querysets import value_names

if TYPE_CHECKING:
    from daf_views.pagination.ordering import Key

Values = tuple[Any, ...]
_NOTHING = Q(pk__in=())


def check_suitable(queryset: QuerySet[Any]) -> None:
    """Raise ValueError for a queryset that can no longer be filtered, or whose rows a condition would change."""
    query, name = queryset.query, queryset.model.__name__
    # A key more in SELECT DISTINCT makes no more instances, but more values.
    is_values = value_names(queryset) is not None
    flaws = {
        "is a slice": query.is_sliced,
        f"is a {query.combinator}()": query.combinator,
        "is distinct() on fields": query.distinct_fields,
        "is values() that are grouped or distinct": isinstance(query.group_by, tuple) or (is_values and query.distinct),
        "is ordered by extra()": query.extra_order_by,
    }
    for flaw, found in flaws.items():
        if found:
            raise ValueError(
                f"This queryset of {name} {flaw}: a cursor cannot continue from one of its rows. Use page numbers."
            )


def fetch(
    queryset: QuerySet[Any], keys: Sequence[Key], position: Values | None, *, inclusive: bool, limit: int
) -> list[tuple[Any, Values]]:
    """Return at most ``limit`` rows beyond a position (None: the beginning), each with the values of its keys. Queries.

    ``inclusive``: a row at the position is one of them.
    """
    connection = connections[queryset.db]
    # SQLite keeps decimals as floats, and Django rounds what it reads: only the float itself is found again.
    as_float = [key.is_decimal and connection.vendor == "sqlite" for key in keys]
    paths = [
        ExpressionWrapper(F(k.path), FloatField()) if f else F(k.path) for k, f in zip(keys, as_float, strict=True)
    ]
    rows = (
        queryset if queryset.query.standard_ordering else queryset.reverse()
    )  # or it would reverse this ordering as well
    rows = rows.annotate(**{_alias(number): path for number, path in enumerate(paths)})
    rows = rows.order_by(*(f"-{_alias(n)}" if key.descending else _alias(n) for n, key in enumerate(keys)))
    if position is not None:
        nulls_are_largest = not connection.features.order_by_nulls_first
        rows = rows.filter(_beyond(keys, position, inclusive=inclusive, nulls_are_largest=nulls_are_largest))
    return [(row, _take_values(row, len(keys))) for row in rows[:limit]]


def _beyond(keys: Sequence[Key], position: Values, *, inclusive: bool, nulls_are_largest: bool) -> Q:
    """Return (a > 1) OR (a = 1 AND ((b > 2) OR (b = 2 AND …))), with < for keys that descend."""
    beyond = Q() if inclusive else _NOTHING  # of rows that have all values of the position
    nulls_come_last = [key.nullable and nulls_are_largest != key.descending for key in keys]
    for number, (key, value) in reversed(list(enumerate(zip(keys, position, strict=True)))):
        same = Q((f"{_alias(number)}__isnull", True)) if value is None else Q((_alias(number), value))
        strictly = _strictly_beyond(number, key, value, nulls_come_last=nulls_come_last[number])
        beyond = strictly | (same & beyond)
    if position[0] is None or nulls_come_last[0]:
        return beyond
    return Q((f"{_alias(0)}__{_operator(keys[0])}e", position[0])) & beyond  # implied: an index can begin there


def _strictly_beyond(number: int, key: Key, value: Any, *, nulls_come_last: bool) -> Q:
    alias = _alias(number)
    if value is None:
        return _NOTHING if nulls_come_last else Q((f"{alias}__isnull", False))
    beyond = Q((f"{alias}__{_operator(key)}", value))
    return beyond | Q((f"{alias}__isnull", True)) if nulls_come_last else beyond


def _operator(key: Key) -> str:
    return "lt" if key.descending else "gt"


def _alias(number: int) -> str:
    return f"_daf_key_{number}"


def _take_values(row: Any, number: int) -> Values:
    """Return the values of a row's keys, and take them away from it. Raises TypeError for rows without names."""
    if not isinstance(row, Model | dict):
        raise TypeError(f"Pages by cursor have rows that are instances or dicts, not {type(row).__name__}.")
    names = row if isinstance(row, dict) else vars(row)
    return tuple(names.pop(_alias(each)) for each in range(number))
