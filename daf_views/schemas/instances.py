"""Instances of Django's models as data of the types that an annotation names, field by field.

Only what the type asks for is looked at; a relation with many rows is a list of them if it has been prefetched. One
that was not loaded is a query on the event loop, which detection names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from django.db.models import Manager, Model, QuerySet

Fields = Iterable[tuple[str, str, Any]]
"""Of a type with fields: the attribute, the name in JSON, and the type of each."""


def as_data(value: Any, kind: Any, fields_of: Callable[[Any], Fields | None], bare: Callable[[Any], Any]) -> Any:
    """Return the value with dicts and lists in place of instances and of relations to many, and else as it is."""
    kind = bare(kind)
    if isinstance(value, Model):
        fields = fields_of(kind)
        if fields is None:
            return value
        return {
            name: as_data(getattr(value, attribute), each, fields_of, bare)
            for attribute, name, each in fields
            if hasattr(type(value), attribute) or attribute in vars(value)
        }
    if isinstance(value, Manager):
        value = value.all()
    if isinstance(value, list | tuple | QuerySet):
        [item] = get_args(kind)[:1] or [Any]
        return [as_data(each, item, fields_of, bare) for each in value]
    if isinstance(value, Mapping) and (fields := fields_of(kind)) is not None:
        kinds = {name: each for _, name, each in fields}
        return {name: as_data(part, kinds.get(name, Any), fields_of, bare) for name, part in value.items()}
    return value
