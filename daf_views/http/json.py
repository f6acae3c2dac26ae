"""Encode the responses of an API as JSON: models, evaluated querysets, dataclasses and the values they hold.

Encoding never queries: a deferred field is left out, a foreign key is its id (``author_id``), and a queryset that has
not been evaluated is a TypeError. A model's *loaded* field called ``password`` is a TypeError too, as are the rows
of ``values()`` and ``values_list()`` without names. No user model's password hash is sent by accident:
``User.objects.defer("password")``, ``values("username")`` or a dict say what is meant. A list of such rows is a list.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import AsyncIterable, Awaitable
from typing import Any

from django.core.files.base import File
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Manager, Model, QuerySet
from django.db.models.query import RawQuerySet

from daf_views._django.querysets import fetched_rows, value_names

_SECRET = "password"  # noqa: S105 - the name of a field


class APIJSONEncoder(DjangoJSONEncoder):
    """Django's encoder (ISO 8601 dates and durations, decimals and UUIDs as strings), and what a view returns."""

    def default(self, o: Any) -> Any:  # noqa: PLR0911 - one for each kind
        """Return a JSON value for ``o``. Raise TypeError, with the remedy, if there is none."""
        match o:
            case Model():
                return _fields(o)
            case QuerySet() | RawQuerySet():
                return _rows(o)
            case Manager():
                raise TypeError(f"{type(o).__name__} is a manager: return `await manager.all().alist()`.")
            case enum.Enum():
                return o.value
            case set() | frozenset():
                return list(o)
            case bytes() | bytearray() | memoryview():
                raise TypeError("JSON has no bytes: decode them, or base64.b64encode(value).decode().")
            case File():
                return o.name  # its URL may cost a question to the storage
            case _ if dataclasses.is_dataclass(o) and not isinstance(o, type):
                return {field.name: getattr(o, field.name) for field in dataclasses.fields(o)}
        _refuse_unawaited(o)
        return super().default(o)


def _refuse_unawaited(value: Any) -> None:
    if isinstance(value, Awaitable):
        raise TypeError(f"A {type(value).__name__} has no value yet: `await` it.")
    if isinstance(value, AsyncIterable):
        raise TypeError(f"JSON has no {type(value).__name__}: return `[each async for each in …]`, or jsonl(…).")


def encode(data: Any) -> bytes:
    """Return ``data`` as JSON in UTF-8. Raise TypeError for unfit values, ValueError for NaN and infinity."""
    text = json.dumps(data, cls=APIJSONEncoder, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    # UTF-8 has no lone surrogates; backslashreplace writes JSON's own escape of one.
    return text.encode("utf-8", "backslashreplace")


def _fields(instance: Model) -> dict[str, Any]:
    deferred = instance.get_deferred_fields()
    loaded = [field for field in instance._meta.concrete_fields if field.attname not in deferred]  # noqa: SLF001 - _meta is public
    if any(field.name == _SECRET for field in loaded):
        raise _has_password(type(instance))
    return {field.attname: field.value_from_object(instance) for field in loaded}


def _rows(queryset: QuerySet[Any] | RawQuerySet[Any]) -> list[Any]:
    rows = fetched_rows(queryset)
    if rows is None:
        name = queryset.model.__name__ if queryset.model is not None else ""
        raise TypeError(f"This queryset of {name} has not been evaluated: return `await queryset.alist()`.")
    refuse_secrets(queryset)
    return list(rows)


def refuse_secrets(queryset: QuerySet[Any] | RawQuerySet[Any]) -> None:
    """Raise TypeError for the rows of ``values()`` without names, if a password would be among them."""
    model: Any = queryset.model
    if value_names(queryset) == () and _SECRET in (field.name for field in model._meta.fields):  # noqa: SLF001
        raise _has_password(model)


def _has_password(model: type[Model]) -> TypeError:
    name = model.__name__
    return TypeError(
        f"{name} has a password: name the fields you mean, in a dict or {name}.objects.values('pk', …), "
        f"or return instances from {name}.objects.defer('password')."
    )


def as_json(value: Any) -> str:
    """Return one line of JSON (RFC 8259): no line breaks, no NaN. Raises TypeError or ValueError for other values."""
    return json.dumps(value, cls=APIJSONEncoder, separators=(",", ":"), allow_nan=False)
