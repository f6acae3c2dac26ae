"""What a handler returns, taken apart for the type that it promised: field by field, and nothing that has no field.

Instances of models, of subclasses, and of anything else become dicts of what the type asks for; a relation with many
rows is a list of them if it has been prefetched. One that was not loaded is a query on the event loop, which detection
names. What is to be read of a type is found out once: a list has many rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, get_args, get_origin

from django.db.models import Manager, QuerySet

from daf_views.schemas.annotations import bare, is_list, item_of

Fields = Iterable[tuple[str, str, Any]]
"""Of a type with fields: the attribute, the name that it is built with, and the type of each."""
Reader = Callable[[Any], Any]
"""Returns a value with dicts and lists in place of what it is made of, and else as it is."""

_ATOMS = (str, bytes, int, float, list, tuple, set, frozenset, type(None))


def reader_of(kind: Any, fields_of: Callable[[Any], Fields | None]) -> Reader | None:
    """Return what reads values of a type; None if there is nothing to do but take them as they are."""
    return _reader_of(kind, fields_of, {})


def _reader_of(kind: Any, fields_of: Callable[[Any], Fields | None], known: dict[Any, _Fields]) -> Reader | None:
    kind = bare(kind)
    if kind in known:  # it refers to itself
        return known[kind]
    if (fields := fields_of(kind)) is not None:
        reader = known[kind] = _Fields(get_origin(kind) or kind, list(fields))
        reader.find(lambda each: _reader_of(each, fields_of, known))
        return reader
    if is_list(kind):
        item = item_of(kind)
        return _Items(None if item is None else _reader_of(item, fields_of, known))
    if get_origin(kind) in {dict, Mapping} and (args := get_args(kind)):
        values = _reader_of(args[1], fields_of, known)
        return None if values is None else _Values(values)
    members = [_reader_of(each, fields_of, known) for each in get_args(kind)]
    choices = [each for each in members if isinstance(each, _Fields)]
    return _Choice(choices) if choices else None


class _Fields:
    """Reads what has the fields of a type."""

    def __init__(self, kind: Any, fields: list[tuple[str, str, Any]]) -> None:
        self.kind = kind
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
        if type(value) is self.kind and not self._parts:
            return value  # of the very class, with nothing in it that might be of another
        if isinstance(value, Mapping):
            data = dict(value)
        elif isinstance(value, _ATOMS):
            return value
        else:
            data = self._of_instance(value)
        for name, reader in self._parts:
            if name in data:
                data[name] = reader(data[name])
        return data

    def _of_instance(self, value: Any) -> dict[str, Any]:
        try:
            if self._get is not None:
                return dict(zip(self._names, self._get(value), strict=True))
        except AttributeError:  # what it does not have, the type may have a default for
            pass
        return {name: getattr(value, attribute) for attribute, name, _ in self._fields if hasattr(value, attribute)}


class _Items:
    """Reads lists, and relations to many."""

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader

    def __call__(self, value: Any) -> Any:
        if isinstance(value, Manager):
            value = value.all()
        if not isinstance(value, list | tuple | set | frozenset | QuerySet):
            return value
        return list(value) if self._reader is None else [self._reader(each) for each in value]


class _Values:
    """Reads dicts whose values are of one type."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: self._reader(each) for name, each in value.items()}


class _Choice:
    """Reads what is of one of several types: an instance of one by its own fields."""

    def __init__(self, choices: list[_Fields]) -> None:
        self._choices = choices

    def __call__(self, value: Any) -> Any:
        reader = next((each for each in self._choices if _is_of(value, each.kind)), None)
        return value if reader is None else reader(value)


def _is_of(value: Any, kind: Any) -> bool:
    return isinstance(kind, type) and not isinstance(value, Mapping) and isinstance(value, kind)
