"""A model's files in the return value of a typed handler: a text, if its type has one.

``file: str`` is the URL, as the storage gives it; ``Annotated[str, FileName]`` is the name that the database holds.
Without a file it is None, where the type takes that, and otherwise an empty text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, get_args, get_origin

from django.db.models import Manager, QuerySet
from django.db.models.fields.files import FieldFile

from daf_views.schemas.annotations import bare, is_list, item_of, takes_none

FieldsOf = Callable[[Any], Iterable[tuple[str, str, Any]] | None]
"""Returns, for each field of a type, the attribute, the name that it is built with, and its type."""


class FileName:
    """Says in an annotation that a file is shown by its name: ``file: Annotated[str, FileName]``."""


class FileURL:
    """Says in an annotation that a file is shown by its URL, as without it."""


def with_texts(value: Any, kind: Any, fields_of: FieldsOf) -> tuple[Any, bool]:
    """Return a value of a type with texts in place of files, and whether there were any."""
    shown = _Texts(fields_of)
    return shown.of(value, kind), shown.found


class _Texts:
    def __init__(self, fields_of: FieldsOf) -> None:
        self._fields_of = fields_of
        self.found = False

    def of(self, value: Any, kind: Any) -> Any:
        if isinstance(value, FieldFile):
            self.found = True
            return _text(value, kind)
        if is_list(kind) and isinstance(value, list | tuple | QuerySet | Manager):
            return self._items(value, item_of(kind) or Any)
        if (fields := self._fields_of(bare(kind))) is None or isinstance(value, str | bytes | int | float | None):
            return value
        if isinstance(value, Mapping):
            kinds = {name: each for _, name, each in fields}
            return {name: self.of(each, kinds.get(name, Any)) for name, each in value.items()}
        return {
            name: self.of(getattr(value, attribute), each)
            for attribute, name, each in fields
            if hasattr(value, attribute)
        }

    def _items(self, value: Any, kind: Any) -> list[Any]:
        return [self.of(each, kind) for each in (value.all() if isinstance(value, Manager) else value)]


def _text(file: FieldFile, kind: Any) -> str | None:
    if not file:
        return None if takes_none(kind) else ""
    return str(file.name) if _wants_name(kind) else str(file.url)


def _wants_name(kind: Any) -> bool:
    if get_origin(kind) is Annotated and FileName in get_args(kind)[1:]:
        return True
    return any(_wants_name(each) for each in get_args(kind) if get_origin(each) is Annotated)
