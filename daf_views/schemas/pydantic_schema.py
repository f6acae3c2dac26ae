"""Types that pydantic checks: its models, and with nothing else installed everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import pydantic
from pydantic import AliasChoices, AliasPath, BaseModel, TypeAdapter, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic_core import PydanticSerializationError

from daf_views.schemas.annotations import Field, bare, is_truth, plain_fields
from daf_views.schemas.moments import refuse_inexpressible, seeker_of
from daf_views.schemas.pydantic_outputs import reader_of, refuse_unfiltered
from daf_views.schemas.violations import MOST, SchemaError, Violation, too_deep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daf_views.schemas.readers import Reader

REF = "#/components/schemas/{model}"
_OUTPUT: Any = object()
"""Stands for a handler's return value, for which every step of a place is reported."""
_MANY = 1000
"""The number of mistakes up to which pydantic is asked for each: it makes all at once."""


def is_own(kind: Any) -> bool:
    """Return True if a type is a model or a dataclass of pydantic."""
    return isinstance(kind, type) and (issubclass(kind, BaseModel) or is_pydantic_dataclass(kind))


def schema_of(kind: Any) -> PydanticSchema:
    """Return it. Raises TypeError, with pydantic's reason, if it does not know the type."""
    try:
        return PydanticSchema(kind)
    except pydantic.errors.PydanticUserError as error:
        raise TypeError(f"pydantic: {error.message.partition(chr(10))[0]}") from error


def attributes_of(kind: Any) -> list[tuple[str, str, Any]] | None:
    """Return, for each field of a type, the attribute, the name that it is built with, and its type."""
    infos: Mapping[str, Any] = getattr(kind, "model_fields", {})
    fields = _fields(kind)
    return None if fields is None else [(each.attribute, each.attribute, _annotated(each, infos)) for each in fields]


def _annotated(field: Field, infos: Mapping[str, Any]) -> Any:
    """Return the type of a field with its metadata, which pydantic keeps separately."""
    metadata = infos[field.attribute].metadata if field.attribute in infos else ()
    return Annotated[(field.kind, *metadata)] if metadata else field.kind


class PydanticSchema:
    """A type that pydantic checks: see :class:`~daf_views.schemas.registry.Schema`."""

    __slots__ = ("_adapter", "_is_strict", "_read", "_seeker", "kind")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self._read = reader_of(kind, _triples)
        self._seeker = seeker_of(kind, _fields)
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._is_strict = bool(getattr(bare(kind), "model_config", {}).get("strict"))

    @property
    def reader(self) -> Reader | None:
        """The reader of values that are shown."""
        return self._read

    def load(self, value: Any, *, is_text: bool = False) -> Any:
        """Return the value as one of the type."""
        try:
            if self._is_strict and not is_text:  # strictly, a date is a text in JSON, and a date in Python
                loaded = self._adapter.validate_json(json.dumps(value))
            else:
                loaded = self._adapter.validate_python(value)
        except ValidationError as error:
            raise _translated(error, value) from None
        except RecursionError:
            raise too_deep() from None
        if self._seeker is not None:
            refuse_inexpressible(loaded, self._seeker)
        return loaded

    def prepare_output(self) -> None:
        """Raise TypeError if values of the type might show more than its fields."""
        refuse_unfiltered(self._adapter.core_schema, filters_named_tuples=_filters_named_tuples())

    def shape(self, value: Any, *, is_checked: bool) -> Any:
        """Return a handler's return value as one of the type."""
        try:
            if is_own(self.kind) and isinstance(value, self.kind):
                if is_checked:  # its fields unchanged, and not their form in JSON
                    self._adapter.validate_python(_fields_of(value), by_name=True)
                return value
            data = value if self._read is None else self._read(value)
            return self._adapter.validate_python(data, from_attributes=True, by_name=True)
        except ValidationError as error:
            raise _translated(error, _OUTPUT) from None

    def dump(self, value: Any) -> bytes:
        """Return it as JSON."""
        with _as_bug(self.kind):
            return self._adapter.dump_json(value, by_alias=True, warnings="error")

    def plain(self, value: Any) -> Any:
        """Return it as dicts, lists, texts and numbers."""
        with _as_bug(self.kind):
            return self._adapter.dump_python(value, mode="json", by_alias=True, warnings="error")

    def fields(self) -> Mapping[str, Any] | None:
        """Return the types of its fields."""
        fields = _fields(self.kind)
        return None if fields is None else {name: kind for field in fields for name, kind in self._names(field)}

    def takes_unknown(self) -> bool:
        """Return True for a model that forbids or keeps extra fields."""
        return self._config("extra") in {"forbid", "allow"}

    def unchecked(self) -> list[frozenset[str]]:
        """Return the names of each truth value without a default."""
        fields = [each for each in _fields(self.kind) or () if is_truth(each.kind) and each.is_required]
        return [frozenset(name for name, _ in self._names(each)) for each in fields]

    def _names(self, field: Field) -> list[tuple[str, Any]]:
        """Return the names of a field, each with the type of its value."""
        info = getattr(bare(self.kind), "model_fields", {}).get(field.attribute)
        alias = None if info is None else info.validation_alias or info.alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [] if alias is None else [alias]
        names = [
            (str(each.path[0]), list[Any]) if isinstance(each, AliasPath) else (each, field.kind) for each in choices
        ]
        if not names or self._config("populate_by_name") or self._config("validate_by_name"):
            names.append((field.attribute, field.kind))
        return names

    def _config(self, name: str) -> Any:
        return (getattr(bare(self.kind), "model_config", None) or {}).get(name)

    def json_schema(self, *, is_output: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return its JSON Schema: of anything, where pydantic has none."""
        mode: Any = "serialization" if is_output else "validation"
        try:
            schema = self._adapter.json_schema(ref_template=REF, mode=mode, by_alias=True)
        except pydantic.errors.PydanticInvalidForJsonSchema:
            return {}, {}
        return schema, schema.pop("$defs", {})


@cache
def _filters_named_tuples() -> bool:
    """Return True if this release of pydantic filters the items of a NamedTuple by their types."""

    class Public(BaseModel):
        pass

    class Private(Public):
        secret: int = 1

    pair: Any = NamedTuple("pair", [("it", Public)])
    return TypeAdapter(pair).dump_json(pair(Private())) == b"[{}]"


@contextmanager
def _as_bug(kind: Any) -> Iterator[None]:
    """Raise an error for a value that is not of its type: pydantic would show it whole, with only a warning."""
    try:
        yield
    except PydanticSerializationError as error:
        raise TypeError(f"The returned value is not {kind!r}: {error}") from error


def _fields_of(value: Any) -> dict[str, Any]:
    return {**vars(value), **(getattr(value, "model_extra", None) or {})}


def _triples(kind: Any) -> list[tuple[str, str, Any]] | None:
    fields = _fields(kind)
    return None if fields is None else [(field.attribute, field.attribute, field.kind) for field in fields]


def _fields(kind: Any) -> list[Field] | None:
    kind = bare(kind)
    if isinstance(kind, type) and issubclass(kind, pydantic.RootModel):
        return None
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields.items()
        return [Field(name, _alias(name, field), field.annotation, field.is_required()) for name, field in fields]
    try:
        return list(fields) if (fields := plain_fields(kind)) is not None else None  # type: ignore[assignment] # another list
    except TypeError:  # a type that cannot be hashed has none
        return None


def _alias(name: str, field: Any) -> str:
    alias = field.validation_alias or field.alias
    if isinstance(alias, AliasChoices):
        alias = next((each for each in alias.choices if isinstance(each, str)), None)
    return alias if isinstance(alias, str) else name


def _translated(error: ValidationError, value: Any) -> SchemaError:
    """Describe a mistake without the value, which pydantic's own message repeats."""
    if error.error_count() > _MANY:
        return SchemaError([Violation((), f"It contains {error.error_count()} mistakes.")])
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    return SchemaError([_violation(each, value) for each in errors[:MOST]])


def _violation(error: Any, value: Any) -> Violation:
    is_missing = error["type"] == "missing"
    detail = "This field is required." if is_missing else error["msg"].rstrip(".") + "."
    return Violation(
        _place(error["loc"], value, is_missing=is_missing), detail, "required" if is_missing else error["type"]
    )


def _place(steps: tuple[str | int, ...], value: Any, *, is_missing: bool) -> tuple[str | int, ...]:
    """Return the steps that lead into the value: pydantic adds the names of types and branches."""
    if value is _OUTPUT:
        return steps
    place: list[str | int] = []
    for number, step in enumerate(steps):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            if not (is_missing and number == len(steps) - 1 and isinstance(value, dict)):
                continue
        place.append(step)
    return tuple(place)
