"""Django classes that are known to compile alike: the same structure gives the same SQL for all values.

A subclass is another class, and unknown. ``tests/orm/plans`` compiles each of them both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, Final

from django.db import models
from django.db.models import aggregates, expressions, functions, lookups
from django.db.models.fields import related_lookups, reverse_related
from django.db.models.sql import compiler as compilers
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.where import WhereNode

FIELDS: Final = frozenset(
    {
        *(models.AutoField, models.BigAutoField, models.SmallAutoField),
        *(models.IntegerField, models.BigIntegerField, models.SmallIntegerField),
        *(models.PositiveIntegerField, models.PositiveBigIntegerField, models.PositiveSmallIntegerField),
        *(models.CharField, models.TextField, models.SlugField, models.EmailField, models.URLField),
        *(models.FileField, models.ImageField, models.FilePathField, models.GenericIPAddressField),
        *(models.BooleanField, models.FloatField, models.DecimalField, models.UUIDField, models.BinaryField),
        *(models.DateField, models.DateTimeField, models.TimeField, models.DurationField, models.JSONField),
        *(models.ForeignKey, models.OneToOneField),
    }
)
"""Fields of models."""
MADE_FIELDS: Final = frozenset(
    {
        *(models.AutoField, models.BigAutoField, models.SmallAutoField),
        *(models.IntegerField, models.BigIntegerField, models.SmallIntegerField),
        *(models.PositiveIntegerField, models.PositiveBigIntegerField, models.PositiveSmallIntegerField),
        *(models.CharField, models.TextField, models.SlugField, models.EmailField, models.URLField),
        *(models.BooleanField, models.FloatField, models.DecimalField, models.UUIDField),
        *(models.DateField, models.DateTimeField, models.TimeField, models.DurationField),
    }
)
"""Fields of expressions: two of one class mean the same to SQL, and to the values that come back."""
PARSING: Final = frozenset({models.DateTimeField, models.BooleanField})
"""Those that make of a string what settings and their own options say: a time zone, ``null``."""
RELATIONS: Final = frozenset({reverse_related.ManyToOneRel, reverse_related.OneToOneRel})
"""Relations that follow a foreign key backwards."""
JOINED_BY: Final = frozenset({models.ForeignKey, models.OneToOneField, *RELATIONS})
TABLES: Final = frozenset({BaseTable, Join})
CONSTANTS: Final[Mapping[type, type]] = {
    int: models.IntegerField,
    str: models.CharField,
    bool: models.BooleanField,
    NoneType: NoneType,
}
"""Values of expressions outside conditions, which are part of the structure: equal ones of one class look alike.

By their class, with the field that Django takes for them.
"""
EXACT: Final = frozenset({lookups.Exact, lookups.IntegerFieldExact, related_lookups.RelatedExact})
IS_NULL: Final = frozenset({lookups.IsNull, related_lookups.RelatedIsNull})
IN: Final = frozenset({lookups.In, related_lookups.RelatedIn})
PLAIN: Final = frozenset(
    {
        *(lookups.GreaterThan, lookups.GreaterThanOrEqual, lookups.LessThan, lookups.LessThanOrEqual),
        *(lookups.IntegerGreaterThan, lookups.IntegerGreaterThanOrEqual),
        *(lookups.IntegerLessThan, lookups.IntegerLessThanOrEqual),
        *(related_lookups.RelatedGreaterThan, related_lookups.RelatedGreaterThanOrEqual),
        *(related_lookups.RelatedLessThan, related_lookups.RelatedLessThanOrEqual),
        *(lookups.IExact, lookups.Contains, lookups.IContains, lookups.Range, lookups.Regex, lookups.IRegex),
        *(lookups.StartsWith, lookups.IStartsWith, lookups.EndsWith, lookups.IEndsWith),
    }
)
"""Lookups whose SQL depends on the SQL of their two sides alone."""
LOOKUPS: Final = EXACT | IS_NULL | IN | PLAIN
AGGREGATES: Final = frozenset({aggregates.Count, aggregates.Sum, aggregates.Avg, aggregates.Min, aggregates.Max})
FUNCTIONS: Final = frozenset({functions.Lower, functions.Upper, functions.Length, functions.Coalesce})
NODES: Final[frozenset[Any]] = frozenset(
    {
        *(expressions.Col, expressions.Value, expressions.Star, expressions.Ref, expressions.OrderBy),
        *(expressions.CombinedExpression, compilers.PositionRef, WhereNode),
        *LOOKUPS,
        *AGGREGATES,
        *FUNCTIONS,
    }
)
"""The parts of a compiled query that are known."""
COMPILER_METHODS: Final = (
    *("compile", "pre_sql_setup", "setup_query", "get_select", "get_default_columns", "get_related_selections"),
    *("get_order_by", "find_ordering_name", "get_extra_select", "get_group_by", "get_distinct", "get_from_clause"),
    *("quote_name_unless_alias", "collapse_group_by", "get_converters", "has_composite_fields"),
    *(["quote_name"] if hasattr(compilers.SQLCompiler, "quote_name") else []),  # since Django 6.1
)
QUERY_METHODS: Final = ("get_meta", "get_initial_alias", "join", "join_parent_model", "setup_joins", "table_alias")
OPERATION_METHODS: Final = (
    *("quote_name", "limit_offset_sql", "distinct_sql", "lookup_cast", "combine_expression", "prepare_join_on_clause"),
    *("check_expression_support", "force_no_ordering", "regex_lookup", "for_update_sql", "get_db_converters"),
)
OPERATIONS_STATE: Final = frozenset({"connection", "_cache", "_references_graph"})
"""Attributes that ``connection.ops`` sets on itself; any other replaces a method."""
COMPILER_MODULES: Final = frozenset(
    {
        "django.db.models.sql.compiler",
        "django.db.backends.postgresql.compiler",  # Django 5.2's, which refuses some names
        "daf_orm.backends.postgresql.compiler",
    }
)
BACKENDS: Final = ("django.db.backends.sqlite3.", "django.db.backends.postgresql.", "daf_orm.backends.postgresql.")
"""Modules of the backends that the tests cover. A class from any other module is unknown."""
