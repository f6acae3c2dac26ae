"""Types that msgspec checks: its Structs, dataclasses, TypedDicts, and what Python brings.

msgspec stops at the first thing that is wrong, and does not look further. So a value that it refuses is looked at once
more, field by field, for a client should not have to send it as often as it has mistakes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import msgspec
from django.core.files.uploadedfile import UploadedFile

from daf_views.schemas.instances import reader_of
from daf_views.schemas.types import bare
from daf_views.schemas.violations import MOST, SchemaError, Violation

REF = "#/components/schemas/{name}"
_DEPTH = 100
_PLACE = re.compile(r" - at `\$(?P<place>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<name>.+)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.+)`$")


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A field of a type."""

    attribute: str
    name: str
    """In JSON."""
    kind: Any
    is_required: bool


def schema_of(kind: Any) -> MsgspecSchema | None:
    """Return it, if msgspec knows the type."""
    try:
        msgspec.json.schema(kind, schema_hook=_hook)
    except (TypeError, ValueError, NotImplementedError):
        return None
    return MsgspecSchema(kind)


class MsgspecSchema:
    """A type that msgspec checks: see :class:`~daf_views.schemas.library.Schema`."""

    __slots__ = ("_is_plain", "_read", "kind")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self._read = reader_of(kind, _triples)
        self._is_plain = isinstance(kind, type) and get_origin(kind) is None

    def load(self, value: Any, *, is_text: bool = False) -> Any:
        """Return the value as one of the type."""
        try:
            return msgspec.convert(value, self.kind, strict=not is_text, str_keys=True)
        except msgspec.ValidationError:
            return self._load_closely(value if is_text else _with_integers(value), is_text=is_text)

    def _load_closely(self, value: Any, *, is_text: bool) -> Any:
        """Load what has been refused once: as it is read more closely, or with all that is wrong with it."""
        try:
            return msgspec.convert(value, self.kind, strict=not is_text, str_keys=True)
        except msgspec.ValidationError as error:
            found: list[Violation] = []
            _look(value, self.kind, (), is_text, found)
            raise SchemaError(found or [_violation(error)]) from None

    def shape(self, value: Any, *, is_checked: bool) -> Any:
        """Return what a handler has returned as one of the type."""
        try:
            if self._is_plain and isinstance(value, self.kind):
                if is_checked:
                    msgspec.convert(msgspec.to_builtins(value, str_keys=True), self.kind, str_keys=True)
                return value
            data = value if self._read is None else self._read(value)
            return msgspec.convert(data, self.kind, from_attributes=True)
        except msgspec.ValidationError as error:
            raise SchemaError([_violation(error)]) from None

    def dump(self, value: Any) -> bytes:
        """Return it as JSON."""
        return msgspec.json.encode(value)

    def plain(self, value: Any) -> Any:
        """Return it as what JSON has."""
        return msgspec.to_builtins(value, str_keys=True)

    def fields(self) -> Mapping[str, Any] | None:
        """Return the types of its fields."""
        return {field.name: field.kind for field in fields} if (fields := _fields(self.kind)) is not None else None

    def json_schema(self, *, is_output: bool) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ARG002 - the same
        """Return its JSON Schema."""
        [schema], components = msgspec.json.schema_components([self.kind], schema_hook=_hook, ref_template=REF)
        return schema, components


def _hook(kind: type) -> dict[str, Any]:
    if issubclass(kind, UploadedFile):
        return {"type": "string", "format": "binary"}
    raise NotImplementedError


def _with_integers(value: Any, depth: int = 0) -> Any:
    """Return the value with 1 for 1.0: to JSON Schema, and so to our documents, that is an integer (§6.1.1).

    What is deeper than any type is left alone: clients may nest as deep as they like.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if depth < _DEPTH and isinstance(value, list):
        return [_with_integers(each, depth + 1) for each in value]
    if depth < _DEPTH and isinstance(value, dict):
        return {name: _with_integers(each, depth + 1) for name, each in value.items()}
    return value


def _look(value: Any, kind: Any, place: tuple[str | int, ...], is_text: bool, found: list[Violation]) -> None:  # noqa: FBT001
    """Add what is wrong with a value: with its parts, and if they are sound, with itself."""
    if len(found) >= MOST:
        return
    before = len(found)
    for name, part, part_kind in _parts(value, kind):
        _look(part, part_kind, (*place, name), is_text, found)
    found += [Violation((*place, name), "This field is required.", "required") for name in _missing(value, kind)]
    if len(found) == before:
        try:
            msgspec.convert(value, kind, strict=not is_text, str_keys=True)
        except msgspec.ValidationError as error:
            found.append(_violation(error, place))


def _parts(value: Any, kind: Any) -> list[tuple[str | int, Any, Any]]:
    kind = bare(kind)
    if isinstance(value, dict):
        if (fields := _fields(kind)) is not None:
            return [(field.name, value[field.name], field.kind) for field in fields if field.name in value]
        if get_origin(kind) in {dict, Mapping} and get_args(kind):
            return [(name, part, get_args(kind)[1]) for name, part in value.items()]
    if isinstance(value, list) and get_origin(kind) in {list, set, frozenset}:
        return [(index, part, get_args(kind)[0]) for index, part in enumerate(value)]
    return []


def _missing(value: Any, kind: Any) -> list[str]:
    fields = _fields(kind) if isinstance(value, dict) else None
    return [field.name for field in fields or () if field.is_required and field.name not in value]


def _triples(kind: Any) -> list[tuple[str, str, Any]] | None:
    fields = _fields(kind)
    return None if fields is None else [(field.attribute, field.name, field.kind) for field in fields]


def _fields(kind: Any) -> tuple[Field, ...] | None:
    """Return the fields of a type, or None if it has none."""
    kind = bare(kind)
    return _fields_of(kind) if isinstance(get_origin(kind) or kind, type) else None


@lru_cache(maxsize=1024)
def _fields_of(kind: Any) -> tuple[Field, ...] | None:
    cls: Any = get_origin(kind) or kind
    if issubclass(cls, msgspec.Struct):
        return tuple(
            Field(each.name, each.encode_name, each.type, each.required) for each in msgspec.structs.fields(kind)
        )
    if dataclasses.is_dataclass(cls):
        hints = get_type_hints(cls, include_extras=True)
        return tuple(
            Field(each.name, each.name, hints[each.name], _is_required(each)) for each in dataclasses.fields(cls)
        )
    if is_typeddict(cls):
        hints = get_type_hints(cls, include_extras=True)
        return tuple(Field(name, name, each, name in cls.__required_keys__) for name, each in hints.items())
    return None


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _violation(error: msgspec.ValidationError, place: tuple[str | int, ...] = ()) -> Violation:
    text = str(error)
    if (found := _PLACE.search(text)) is not None:
        text, place = text[: found.start()], (*place, *_steps(found["place"]))
    if (found := _MISSING.search(text)) is not None:
        return Violation((*place, found["name"]), "This field is required.", "required")
    if (found := _UNKNOWN.search(text)) is not None:
        return Violation((*place, found["name"]), "There is no such field.", "unknown")
    return Violation(place, text.replace("`", "").rstrip(".") + ".")


def _steps(path: str) -> list[str | int]:
    """Return the steps of msgspec's path, such as ``.lines[0].quantity``; ``[...]`` is any key of a dict."""
    return [name or int(index) for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", path)]
