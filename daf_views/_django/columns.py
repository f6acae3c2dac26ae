"""Columns that an instance of a model shows unchanged, and querysets whose rows are such instances."""

from __future__ import annotations

from inspect import getattr_static
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db.models import ForeignKey, Model, OneToOneField
from django.db.models.fields.related_descriptors import (
    ForeignKeyDeferredAttribute,
    ForwardManyToOneDescriptor,
    ForwardOneToOneDescriptor,
)
from django.db.models.query import ModelIterable
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init
from django.db.models.sql.query import Query

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS: Final = frozenset({DeferredAttribute, ForeignKeyDeferredAttribute})
_RELATIONS: Final = {ForeignKey: ForwardManyToOneDescriptor, OneToOneField: ForwardOneToOneDescriptor}
_STEPS: Final = ("__iter__", "_chain", "_clone", "_fetch_all", "_iterator", "_values", "iterator", "values_list")
_QUERIES: Final = frozenset({Query})
_DJANGOS: Final = ("django.db.models.", "daf_orm.")


class Relation(NamedTuple):
    """A relation from many rows, or one, to one."""

    model: Any
    is_nullable: bool


def column_of(model: Any, attribute: str) -> str | None:
    """Return the name of the column whose value an attribute is; None if it may be another value."""
    found = getattr_static(model, attribute, None)
    if attribute == "pk" and found is vars(Model)["pk"]:
        return column_of(model, model._meta.pk.attname)
    is_column = type(found) in _COLUMNS and any(each.attname == attribute for each in model._meta.concrete_fields)
    return attribute if is_column else None


def relation_of(model: Any, attribute: str) -> Relation | None:
    """Return the relation whose other row an attribute is, if it is one."""
    descriptor = getattr_static(model, attribute, None)
    for field in model._meta.concrete_fields:
        if field.name == attribute and _RELATIONS.get(type(field)) is type(descriptor):
            return Relation(field.remote_field.model, field.null)
    return None


def filled_column_of(model: Any) -> str | None:
    """Return the name of a column that has a value in each row, other than the key; None if there is none.

    Django takes a relation's key from the row that refers to it.
    """
    for field in model._meta.concrete_fields:
        if not (field.null or field.primary_key or field.is_relation) and column_of(model, field.attname) is not None:
            return str(field.attname)
    return None


def is_plain(model: Any) -> bool:
    """Return True if an instance has the values of its columns and nothing else happens when it is made."""
    return (
        _is_djangos(model.__init__)
        and _is_djangos(model.from_db.__func__)
        and model.__getattribute__ is object.__getattribute__
        and model.__new__ is object.__new__
        and not (pre_init.has_listeners(model) or post_init.has_listeners(model))
    )


def makes_plain_rows(queryset: Any) -> bool:
    """Return True if a queryset has to be evaluated, and its rows are instances with the columns of their table."""
    kind, query = type(queryset), queryset.query
    return (
        all(_is_djangos(getattr(kind, name, None)) for name in _STEPS)
        and queryset._iterable_class is ModelIterable
        and queryset._result_cache is None
        and not queryset._prefetch_related_lookups
        and type(query) in _QUERIES
        and query.default_cols
        and not (query.annotations or query._filtered_relations or query.extra or query.deferred_loading[0])
        and not (query.distinct or query.group_by or query.combinator or query.select_for_update)
    )


def has_known_relations(queryset: Any) -> bool:
    """Return True if rows are given the instance that they were found by, as those of a related manager are."""
    return bool(queryset._known_related_objects)


def is_joined(queryset: Any, path: Sequence[str]) -> bool:
    """Return True if ``select_related()`` of a queryset names a relation, given as the names that lead to it."""
    named = queryset.query.select_related
    for name in path:
        if not isinstance(named, dict) or name not in named:
            return False
        named = named[name]
    return True


def _is_djangos(method: Any) -> bool:
    """Return True if the code of Django or DAF defines a method, and not a wrapper of it."""
    return type(method) is FunctionType and method.__globals__["__name__"].startswith(_DJANGOS)
