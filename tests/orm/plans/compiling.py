"""Compiles a query by a plan and as Django does, and compares all of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.query import Query

from daf_orm import _plans
from daf_orm._plans.comparing import differences
from daf_orm._plans.plan import same_values

EMPTY = ("", ())
COMPILED = ("select", "klass_info", "annotation_col_map", "col_count", "has_extra_select", "having", "qualify")


class _Kept(NamedTuple):
    compiled: dict[str, Any]


def compiled_both_ways(query: QuerySet | Query, using: str = "default") -> bool:
    """Assert that a query compiles alike; return True if its SQL is a plan's."""
    query = query.query if isinstance(query, QuerySet) else query
    before = _plans.get_stats().hits
    kept, ours = _compiled(query, using, SQLCompiler.as_sql)
    hits = _plans.get_stats().hits - before
    made, theirs = _compiled(query, using, SQLCompiler.as_sql.__wrapped__)

    assert kept[0] == made[0]
    assert same_values(kept[1], made[1])
    if made is not EMPTY:
        plan = _Kept({name: getattr(ours, name) for name in COMPILED})
        assert list(differences(plan, kept, theirs, made)) == []
        assert joined(ours.query) == joined(theirs.query)
    return hits == 1


def is_kept(query: QuerySet | Query, using: str = "default") -> bool:
    """Return True if the third query of this structure takes the SQL of a plan. The second is compiled both ways."""
    compiled_both_ways(query, using)
    compiled_both_ways(query, using)
    return compiled_both_ways(query, using)


def joined(query: Query) -> Any:
    """Return the tables of a query, as packages read them after it is compiled."""
    tables = {alias: (table, query.alias_refcount[alias]) for alias, table in query.alias_map.items()}
    return [*tables.items()], {name: {*aliases} for name, aliases in query.table_map.items()}


def with_every_relation(queryset: QuerySet) -> QuerySet:
    """Do what select_related() does, which Django 6.1 deprecates."""
    queryset.query.select_related = True
    return queryset


def reason(query: QuerySet) -> str:
    """Return why a query takes Django's way."""
    before = _plans.get_stats().reasons
    assert not is_kept(query)
    after = _plans.get_stats().reasons
    (found,) = (name for name in after if after[name] > before.get(name, 0) and name != "part of another query")
    return found


def _compiled(query: Query, using: str, as_sql: Callable[[Any], tuple[str, Any]]) -> tuple[tuple[str, Any], Any]:
    compiler = query.clone().get_compiler(using)
    try:
        return as_sql(compiler), compiler
    except EmptyResultSet:
        return EMPTY, compiler
