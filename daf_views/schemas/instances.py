"""Instances of Django's models as data of the types that an annotation names, field by field.

Only what the type asks for is looked at; a relation with many rows is a list of them if it has been prefetched. One
that was not loaded is a query on the event loop, which detection names. What is to be read of a type is found out once:
a list has many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, get_args

from django.db.models import Manager, Model, QuerySet

from daf_views.schemas.types import bare

Fields = Iterable[tuple[str, str, Any]]
"""Of a type with fields: the attribute, the name in JSON, and the type of each."""
Reader = Callable[[Any], Any]
"""Returns a value with dicts and lists in place of instances and of relations to many, and else as it is."""


def reader_of(kind: Any, fields_of: Callable[[Any], Fields | None]) -> Reader | None:
    """Return what reads values of a type; None if there is nothing to do but take them as they are."""
    return _reader_of(kind, fields_of, {})


def _reader_of(kind: Any, fields_of: Callable[[Any], Fields | None], known: dict[Any, _Fields]) -> Reader | None:
    kind = bare(kind)
    if isinstance(kind, type) and kind in known:  # it refers to itself
        return known[kind]
    if (fields := fields_of(kind)) is not None:
        reader = known[kind] = _Fields(list(fields))
        reader.find(lambda each: _reader_of(each, fields_of, known))
        return reader
    args = get_args(kind)
    return _Items(_reader_of(args[0], fields_of, known)) if args else None


class _Fields:
    """Reads what has the fields of a type."""

    def __init__(self, fields: list[tuple[str, str, Any]]) -> None:
        self._fields = fields
        self._names = [name for _, name, _ in fields]
        self._parts: list[tuple[str, Reader]] = []
        # With one name, it returns no tuple.
        self._get = attrgetter(*(attribute for attribute, _, _ in fields)) if len(fields) > 1 else None

    def find(self, reader_of_part: Callable[[Any], Reader | None]) -> None:
        """Find the readers of those fields that need one."""
        readers = ((name, reader_of_part(kind)) for _, name, kind in self._fields)
        self._parts = [(name, reader) for name, reader in readers if reader is not None]

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Model):
            data = self._of_instance(value)
        elif isinstance(value, Mapping):
            data = dict(value)
        else:
            return value
        for name, reader in self._parts:
            if name in data:
                data[name] = reader(data[name])
        return data

    def _of_instance(self, value: Model) -> dict[str, Any]:
        try:
            if self._get is not None:
                return dict(zip(self._names, self._get(value), strict=True))
        except AttributeError:  # what the model does not have, the type may have a default for
            pass
        return {name: getattr(value, attribute) for attribute, name, _ in self._fields if hasattr(value, attribute)}


class _Items:
    """Reads lists, and relations to many."""

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Manager):
            value = value.all()
        if not isinstance(value, list | tuple | QuerySet):
            return value
        return list(value) if self._reader is None else [self._reader(each) for each in value]
