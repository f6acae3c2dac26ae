"""Columns that an instance of a model shows unchanged, and querysets whose rows are such instances."""

from __future__ import annotations

from inspect import getattr_static
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.db.models import ForeignKey, Model, OneToOneField
from django.db.models.fields.files import FileDescriptor, ImageFileDescriptor
from django.db.models.fields.related_descriptors import (
    ForeignKeyDeferredAttribute,
    ForwardManyToOneDescriptor,
    ForwardOneToOneDescriptor,
)
from django.db.models.query import ModelIterable, RelatedPopulator
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init
from django.db.models.sql.query import Query

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_COLUMNS: Final = frozenset({DeferredAttribute, ForeignKeyDeferredAttribute})
_RELATIONS: Final = {ForeignKey: ForwardManyToOneDescriptor, OneToOneField: ForwardOneToOneDescriptor}
_SETTERS: Final = _COLUMNS | {FileDescriptor, ImageFileDescriptor}
"""Descriptors that may be told of a value, and change no other one."""
_STEPS: Final = ("__iter__", "__len__", "_chain", "_clone", "_fetch_all", "_iterator", "all", "iterator")
_MAKERS: Final = (
    *((ModelIterable, "__iter__"), (RelatedPopulator, "populate"), (DeferredAttribute, "__get__")),
    (ForwardManyToOneDescriptor, "__get__"),
)
"""The methods by which Django makes instances and reads their attributes. Some packages wrap them."""
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
    """Return the relation whose other row an attribute is, if it is one. No query joins the row of a parent model."""
    descriptor = getattr_static(model, attribute, None)
    for field in model._meta.concrete_fields:
        if field.name == attribute and _RELATIONS.get(type(field)) is type(descriptor):
            if field.remote_field.parent_link:
                return None
            return Relation(field.remote_field.model, field.null)
    return None


def key_of(model: Any) -> str:
    """Return the name of the column by whose value Django tells that there is a related row."""
    return str(model._meta.pk_fields[0].attname)


def sets_columns_alone(model: Any) -> bool:
    """Return True if no descriptor of a column can change other columns as its value is set."""
    found = [type(getattr_static(model, each.attname, None)) for each in model._meta.concrete_fields]
    return all(kind in _SETTERS or not hasattr(kind, "__set__") for kind in found)


def is_plain(model: Any) -> bool:
    """Return True if an instance has the values of its columns and nothing else happens when it is made."""
    return (
        _is_djangos(model.__init__)
        and _is_djangos(getattr(model.from_db, "__func__", None))
        and model.__getattribute__ is object.__getattribute__
        and model.__setattr__ is object.__setattr__
        and model.__new__ is object.__new__
        and type(model).__call__ is type.__call__
        and not (pre_init.has_listeners(model) or post_init.has_listeners(model))
    )


def makes_plain_rows(queryset: Any) -> bool:
    """Return True if a queryset has to be evaluated, and its rows are instances with the columns of their table."""
    kind, query = type(queryset), queryset.query
    return (
        all(_is_djangos(getattr(kind, name, None)) for name in _STEPS)
        and all(_is_djangos(getattr(maker, name, None)) for maker, name in _MAKERS)
        and queryset._iterable_class is ModelIterable
        and queryset._result_cache is None
        and not queryset._prefetch_related_lookups
        and type(query) in _QUERIES
        and query.default_cols
        and not (query.annotations or query._filtered_relations or query.extra or query.deferred_loading[0])
        and not (query.distinct or query.group_by or query.combinator or query.select_for_update)
    )


def keeps_columns(queryset: Any, names: Collection[str]) -> bool:
    """Return True if the instances that rows were found by, as by a related manager, change no such column."""
    return all(type(field) in _RELATIONS and field.attname not in names for field in queryset._known_related_objects)


def joined_by(queryset: Any) -> Any:
    """Return the names given to ``select_related()``, as dicts of dicts; True for all relations."""
    return queryset.query.select_related or {}


def models_joined(model: Any, named: Any) -> Iterator[Any]:
    """Yield the models of the relations that :func:`joined_by` names. Raises LookupError for one that is not plain."""
    if not isinstance(named, dict):
        raise LookupError("all relations")  # noqa: TRY004 - True is meant
    for name, further in named.items():
        relation = relation_of(model, name)
        if relation is None or not sets_columns_alone(relation.model):
            raise LookupError(name)
        yield relation.model
        yield from models_joined(relation.model, further)


def rows_of(queryset: Any) -> tuple[Iterable[Any], Mapping[tuple[str, ...], int]]:
    """Evaluate a queryset by the SQL that instances are made of; return its rows, and the places of the columns.

    A column is given as the names of relations that lead to it, and its own.
    """
    queryset = queryset.all()  # threads may share a queryset, and compiling changes its query
    compiler = queryset.query.get_compiler(using=queryset.db)
    results = compiler.execute_sql()
    return compiler.results_iter(results), dict(_places(compiler.select, compiler.klass_info, ()))


def _places(select: Any, info: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    for place in info["select_fields"]:
        yield (*path, select[place][0].target.attname), place
    for related in info.get("related_klass_infos", ()):
        yield from _places(select, related, (*path, related["field"].name))


def _is_djangos(method: Any) -> bool:
    """Return True if the code of Django or DAF defines a method, and not a wrapper of it."""
    return type(method) is FunctionType and str(method.__globals__.get("__name__")).startswith(_DJANGOS)
