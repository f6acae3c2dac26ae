"""Read the rows of a queryset for a type from their columns: the fields of the type, and no instances of the model.

An instance costs many times more than its columns. So this is done wherever the instance would show the same values:
where each field of the type is a column, or one of a related row that ``select_related()`` joins. In every other case
the queryset is evaluated as usual.
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from daf_views._django.columns import (
    column_of,
    filled_column_of,
    has_known_relations,
    is_joined,
    is_plain,
    makes_plain_rows,
    relation_of,
)
from daf_views.schemas.readers import Choice, ListReader, ObjectReader, Reader, Rows

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_MODELS: Final = 100


def fetcher(reader: Reader | None, queryset: Any) -> Callable[[], Any]:
    """Return a function that evaluates a queryset, for what ``reader`` reads of it."""
    if isinstance(reader, ListReader):
        columns = _columns_of(reader, queryset.model)
        if columns is not None and columns.serve(queryset):
            return partial(_fetched, reader, columns, queryset)
    return partial(list, queryset)


def _fetched(reader: ListReader, columns: Columns, queryset: Any) -> Rows:
    return Rows(reader, [columns.record(row) for row in queryset.values_list(*columns.paths)])


class Columns:
    """The columns of a model, and of rows related to it, that one type needs."""

    def __init__(self, reader: ObjectReader, model: Any) -> None:
        """Find them. Raises LookupError if a field of the type may be anything else."""
        self.paths: list[str] = []
        self._models = [model]
        self._relations: list[tuple[str, ...]] = []
        self.record = self._record(reader, model, (), (reader,))
        if not self.paths:
            raise LookupError("a type without fields")

    def serve(self, queryset: Any) -> bool:
        """Return True if the rows of a queryset can be read from them."""
        return (
            makes_plain_rows(queryset)
            and not (self._relations and has_known_relations(queryset))
            and all(map(is_plain, self._models))
            and all(is_joined(queryset, path) for path in self._relations)
        )

    def _record(
        self, reader: ObjectReader, model: Any, path: tuple[str, ...], around: tuple[ObjectReader, ...]
    ) -> _Record:
        places, records = [], []
        for part in reader.parts:
            if (column := column_of(model, part.attribute)) is not None:
                places.append(self._place(path, column))
                continue
            relation, related = relation_of(model, part.attribute), _only_object(part.reader)
            if relation is None or related is None or related in around:
                raise LookupError(part.attribute)
            further = (*path, part.attribute)
            filled = filled_column_of(relation.model) if relation.is_nullable else None
            if relation.is_nullable and filled is None:
                raise LookupError(part.attribute)
            self._models.append(relation.model)
            self._relations.append(further)
            mark = None if filled is None else self._place(further, filled)
            records.append((part.name, mark, self._record(related, relation.model, further, (*around, related))))
            places.append(0)
        return _Record(reader, places, records)

    def _place(self, path: tuple[str, ...], column: str) -> int:
        self.paths.append("__".join((*path, column)))
        return len(self.paths) - 1


class _Record:
    """Reads the fields of one object out of a row, as :class:`ObjectReader` reads them out of an instance."""

    __slots__ = ("_get", "_names", "_readers", "_records", "_tag")

    def __init__(self, reader: ObjectReader, places: list[int], records: list[tuple[str, int | None, _Record]]) -> None:
        self._tag = None if reader.tag is None else dict([reader.tag])
        self._names = [part.name for part in reader.parts]
        self._get = itemgetter(*places, 0)  # one more, so that it is a tuple
        self._records = records
        related = {name for name, _, _ in records}
        self._readers = [
            (part.name, part.reader) for part in reader.parts if part.reader is not None and part.name not in related
        ]

    def __call__(self, row: Any) -> dict[str, Any]:
        data = dict(zip(self._names, self._get(row), strict=False))
        if self._tag is not None:
            data = {**self._tag, **data}
        for name, reader in self._readers:
            data[name] = reader(data[name])
        for name, mark, record in self._records:
            data[name] = None if mark is not None and row[mark] is None else record(row)
        return data


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
