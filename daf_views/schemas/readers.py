"""Take a handler's return value apart for the type that it promised: field by field, and nothing that has no field.

Instances of models, of subclasses, and of anything else become dicts of the fields of the type. A relation with many
rows is a list of them if it has been prefetched. One that was not loaded is a query on the event loop, which detection
names. The fields of a type are found out once: a list has many rows.

A reader knows nothing of the library that checks the type: :mod:`daf_views.schemas.msgspec_outputs` and
:mod:`daf_views.schemas.pydantic_schema` make readers of what their libraries say about it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db.models import Manager, QuerySet

Reader = Callable[[Any], Any]
"""Returns a value with dicts and lists in place of the objects that it consists of; all else is unchanged."""

_ARRAYS = (list, tuple, set, frozenset, QuerySet)
_SCALARS = (str, bytes, bytearray, memoryview, int, float, complex, type(None))
_ATOMS = (*_SCALARS, *_ARRAYS, dt.date, dt.time, dt.timedelta, Decimal, Enum, UUID)
"""Types taken unchanged where fields are wanted: they have attributes, but none that a type would mean."""
_ABSENT = object()


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A field of a reader: its attribute, the name that the type is built with, its own reader."""

    attribute: str
    name: str
    reader: Reader | None
    may_be_unset: bool = False
    """True if the value may be msgspec's ``UNSET``."""


class ObjectReader:
    """Reads an object with the fields of a type into a dict of them.

    ``tag`` is what tells the type from others in a union, a name and a value. ``keeps_exact``: an instance of the very
    class, with nothing in it that might be of another, shows nothing but its fields. ``takes_all``: a mapping may have
    more than the fields, and the type says what becomes of that.
    """

    is_array = False

    def __init__(
        self, kind: Any, *, tag: tuple[str, Any] | None = None, keeps_exact: bool = True, takes_all: bool = False
    ) -> None:
        self.kind = kind
        self.tag = tag
        self._keeps_exact = keeps_exact
        self._takes_all = takes_all
        self.parts: tuple[Part, ...] = ()

    def find(self, parts: Sequence[Part]) -> None:
        """Set the readers of the parts, once those that refer to this reader have it."""
        self.parts = tuple(parts)
        self._names = [each.name for each in parts]
        self._known = frozenset(self._names) | ({self.tag[0]} if self.tag is not None else set())
        self._readers = [(each.name, each.reader) for each in parts if each.reader is not None]
        self._is_exact = self._keeps_exact and not self._readers
        may_be_unset = any(each.may_be_unset for each in parts)
        # With one name, it returns no tuple.
        self._get = attrgetter(*(each.attribute for each in parts)) if len(parts) > 1 and not may_be_unset else None

    def __call__(self, value: Any) -> Any:
        """Return what is to be shown of the value."""
        if self._is_exact and type(value) is self.kind:
            return value
        if isinstance(value, Mapping):
            data = dict(value) if self._takes_all else {name: value[name] for name in value if name in self._known}
        elif isinstance(value, _ATOMS):
            return value
        else:
            data = self.of_instance(value)
        for name, reader in self._readers:
            if name in data:
                data[name] = reader(data[name])
        return data

    def of_instance(self, value: Any) -> dict[str, Any]:
        """Return the fields of an instance. For fields that it lacks, the type may have a default."""
        data = {} if self.tag is None else dict([self.tag])
        try:
            if self._get is not None:
                return {**data, **dict(zip(self._names, self._get(value), strict=True))}
        except AttributeError:
            pass
        for part in self.parts:
            found = getattr(value, part.attribute, _ABSENT)
            if found is not _ABSENT and not (part.may_be_unset and _is_unset(found)):
                data[part.name] = found
        return data


class ArrayObjectReader(ObjectReader):
    """Reads a type that is an array in JSON, as a NamedTuple is: a list of its fields, in order."""

    is_array = True

    def __call__(self, value: Any) -> Any:
        """Return what is to be shown of the value."""
        tag = [] if self.tag is None else [self.tag[1]]
        if isinstance(value, list | tuple):
            if tag and not isinstance(value, self.kind) and [*value[:1]] == tag:
                value = value[1:]
            readers = [each.reader for each in self.parts]
            more = list(value[len(readers) :])  # too many: the type decides what becomes of them
            return [*tag, *map(_read, readers, value), *more]
        if isinstance(value, _ATOMS):
            return value
        data = value if isinstance(value, Mapping) else self.of_instance(value)
        return [*tag, *(_read(each.reader, data[each.name]) for each in self.parts if each.name in data)]


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a queryset, already read for the reader of a list: see :mod:`daf_views.schemas.rows`."""

    reader: ListReader
    items: list[Any]


class ListReader:
    """Reads lists, and relations to many."""

    is_array = True

    def __init__(self, reader: Reader | None) -> None:
        self.reader = reader
        self.columns: dict[Any, Any] = {}
        """The columns that are read of a model: see :mod:`daf_views.schemas.rows`."""

    def __call__(self, value: Any) -> Any:
        """Return a list of what is to be shown."""
        if type(value) is Rows and value.reader is self:
            return value.items
        if isinstance(value, Manager):
            value = value.all()
        if not isinstance(value, _ARRAYS):
            return value
        return list(value) if self.reader is None else [self.reader(each) for each in value]


class TupleReader:
    """Reads tuples that have a type for each place."""

    is_array = True

    def __init__(self, readers: Sequence[Reader | None]) -> None:
        self._readers = readers

    def __call__(self, value: Any) -> Any:
        """Return a list of what is to be shown."""
        if not isinstance(value, list | tuple):
            return value
        more = list(value[len(self._readers) :])  # too many, and so refused
        return [*map(_read, self._readers, value), *more]


class Values:
    """Reads dicts whose values are of one type."""

    is_array = False

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader

    def __call__(self, value: Any) -> Any:
        """Return a dict of what is to be shown."""
        if not isinstance(value, Mapping):
            return value
        return {name: _read(self._reader, each) for name, each in value.items()}


class Choice:
    """Reads a value of one of several types.

    An instance is read by the fields of its class, or of its nearest parent among the types. Any other value is read
    by the only type that it can be. For a mapping that is the type of its tag, for an array the one that is an array,
    for anything else the one that has fields.
    """

    def __init__(self, readers: Sequence[Any]) -> None:
        records = [each for each in readers if isinstance(each, ObjectReader)]
        self._records = {each.kind: each for each in records}
        self._tagged = [(*each.tag, each) for each in records if each.tag is not None]
        self._object = _only([each for each in readers if not each.is_array])
        self._array = _only([each for each in readers if each.is_array and getattr(each, "tag", None) is None])
        self.only_record = _only(records) if len(records) == len(readers) else None
        """The reader of all values, if they are of one type that is read by its fields."""

    def __call__(self, value: Any) -> Any:
        """Return what is to be shown of the value."""
        reader = self._reader_of(value)
        return value if reader is None else reader(value)

    def _reader_of(self, value: Any) -> Reader | None:
        for kind in type(value).__mro__:
            if kind in self._records:
                return self._records[kind]
        if isinstance(value, Mapping):
            found = [each for name, tag, each in self._tagged if not each.is_array and value.get(name) == tag]
            return found[0] if found else self._object
        if isinstance(value, (*_ARRAYS, Manager)):
            first = value[0] if isinstance(value, list | tuple) and value else None
            found = [each for _, tag, each in self._tagged if each.is_array and first == tag]
            return found[0] if found else self._array
        return None if isinstance(value, _ATOMS) else self._object


def _only(readers: Sequence[Any]) -> Any:
    return readers[0] if len(readers) == 1 else None


def _read(reader: Reader | None, value: Any) -> Any:
    return value if reader is None else reader(value)


def _is_unset(value: Any) -> bool:
    return type(value).__name__ == "UnsetType"
