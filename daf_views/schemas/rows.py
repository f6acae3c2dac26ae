"""Read the rows of a queryset for a type without making instances of the model.

An instance costs many times more than its row. So a row is read wherever the instance would show the same values. Each
field of the type is a column then, or one of a related row that ``select_related()`` joins. The SQL is the one that
instances are made of: other columns, or fewer joins, could mean other rows, or another order. In every other case the
queryset is evaluated as usual.
"""

from __future__ import annotations

from functools import partial
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any, Final

from daf_views._django.columns import (
    column_of,
    is_plain,
    joined_by,
    keeps_columns,
    key_of,
    makes_plain_rows,
    models_joined,
    relation_of,
    rows_of,
    sets_columns_alone,
)
from daf_views.schemas.readers import Choice, ListReader, ObjectReader, Part, Reader, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    _Path = tuple[str, ...]

_MAX_MODELS: Final = 100


def fetcher(reader: Reader | None, queryset: Any) -> Callable[[], Any]:
    """Return a function that evaluates a queryset, for what ``reader`` reads of it."""
    if isinstance(reader, ListReader):
        columns = _columns_of(reader, queryset.model)
        if columns is not None and columns.serve(queryset):
            return partial(_fetched, reader, columns, queryset)
    return partial(list, queryset)


def _fetched(reader: ListReader, columns: Columns, queryset: Any) -> Rows:
    rows, places = rows_of(queryset)
    return Rows(reader, list(map(columns.record.placed(places), rows)))


class Columns:
    """The columns of a model, and of rows related to it, that one type needs."""

    def __init__(self, reader: ObjectReader, model: Any) -> None:
        """Find them. Raises LookupError if a field of the type may be anything else."""
        self._model = model
        self._models: list[Any] = []
        self._names: list[tuple[Any, str]] = []
        self._joined: dict[str, Any] = {}
        self.record = self._record(reader, model, (), (reader,))
        self._own = frozenset(name for owner, name in self._names if owner is model)
        self._found = [getattr(owner, name) for owner, name in self._names]

    def serve(self, queryset: Any) -> bool:
        """Return True if the rows of a queryset can be read from them."""
        return (
            makes_plain_rows(queryset)
            and keeps_columns(queryset, self._own)
            and all(map(is_plain, self._models))
            and self._joins_plain_rows(joined_by(queryset))
            and all(map(is_, [getattr(owner, name, None) for owner, name in self._names], self._found))
        )

    def _joins_plain_rows(self, named: Any) -> bool:
        """Return True if the relations are joined, and making instances of any others does nothing else."""
        if named == self._joined:
            return True
        try:
            return all(map(is_plain, models_joined(self._model, named))) and _includes(named, self._joined)
        except LookupError:
            return False

    def _record(self, reader: ObjectReader, model: Any, path: _Path, around: tuple[ObjectReader, ...]) -> _Record:
        if not sets_columns_alone(model):
            raise LookupError(model)
        self._models.append(model)
        columns: list[tuple[Part, _Path]] = []
        relations: list[tuple[Part, _Path, bool, _Record]] = []
        for part in reader.parts:
            self._names.append((model, part.attribute))
            if (column := column_of(model, part.attribute)) is not None:
                columns.append((part, (*path, column)))
                continue
            relation, related = relation_of(model, part.attribute), _only_object(part.reader)
            if relation is None or related is None or related in around:
                raise LookupError(part.attribute)
            further = (*path, part.attribute)
            self._join(further)
            record = self._record(related, relation.model, further, (*around, related))
            relations.append((part, (*further, key_of(relation.model)), relation.is_nullable, record))
        return _Record(reader, columns, relations)

    def _join(self, path: _Path) -> None:
        named = self._joined
        for name in path:
            named = named.setdefault(name, {})


class _Record:
    """Reads the fields of one object out of a row, as :class:`ObjectReader` reads them out of an instance."""

    __slots__ = ("_columns", "_names", "_relations", "_tag")

    def __init__(
        self,
        reader: ObjectReader,
        columns: list[tuple[Part, _Path]],
        relations: list[tuple[Part, _Path, bool, _Record]],
    ) -> None:
        self._tag = None if reader.tag is None else dict([reader.tag])
        self._names = [part.name for part in reader.parts]
        self._columns = columns
        self._relations = relations

    def placed(self, places: Mapping[_Path, int]) -> Callable[[Any], dict[str, Any]]:
        """Return the reader of rows that have each column at the given place."""
        tag, names = self._tag, self._names
        at = dict.fromkeys(names, 0) | {part.name: places[path] for part, path in self._columns}
        get = itemgetter(*at.values(), 0, 0)  # two more, so that it is a tuple
        readers = [(part.name, part.reader) for part, _ in self._columns if part.reader is not None]
        records = [
            (part.name, places[key], is_nullable, record.placed(places))
            for part, key, is_nullable, record in self._relations
        ]

        def read(row: Any) -> dict[str, Any]:
            data = dict(zip(names, get(row), strict=False))
            if tag is not None:
                data = {**tag, **data}
            for name, reader in readers:
                data[name] = reader(data[name])
            for name, key, is_nullable, record in records:
                if row[key] is not None:
                    data[name] = record(row)
                elif is_nullable:
                    data[name] = None
                else:  # the attribute of an instance raises AttributeError
                    del data[name]
            return data

        return read


def _includes(named: Any, others: Any) -> bool:
    """Return True if relations, as dicts of dicts, are among others that are named."""
    return all(name in named and _includes(named[name], further) for name, further in others.items())


def _columns_of(reader: ListReader, model: Any) -> Columns | None:
    """Return the columns for a type and a model, remembered with the reader; None if they are not enough."""
    known: dict[Any, Columns | None] = reader.columns
    try:
        return known[model]
    except KeyError:
        pass
    columns: Columns | None = None
    if (record := _only_object(reader.reader)) is not None:
        try:
            columns = Columns(record, model)
        except LookupError:
            columns = None
    if len(known) >= _MAX_MODELS:
        known.clear()
    known[model] = columns
    return columns


def _only_object(reader: Reader | None) -> ObjectReader | None:
    """Return the reader of an object, if that is read by fields, and by those of one type."""
    if isinstance(reader, Choice):
        reader = reader.only_record
    return reader if type(reader) is ObjectReader else None
