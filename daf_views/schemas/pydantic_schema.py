"""Types that pydantic checks: its models, and with nothing else installed everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.dataclasses import is_pydantic_dataclass

from daf_views.schemas.instances import reader_of
from daf_views.schemas.types import bare
from daf_views.schemas.violations import MOST, SchemaError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

REF = "#/components/schemas/{model}"


def is_own(kind: Any) -> bool:
    """Whether a type is one of pydantic's own."""
    return isinstance(kind, type) and (issubclass(kind, BaseModel) or is_pydantic_dataclass(kind))


def schema_of(kind: Any) -> PydanticSchema:
    """Return it. Raises TypeError, with pydantic's reason, if it does not know the type."""
    try:
        return PydanticSchema(kind)
    except pydantic.errors.PydanticUserError as error:
        raise TypeError(f"pydantic: {error.message.partition(chr(10))[0]}") from error


class PydanticSchema:
    """A type that pydantic checks: see :class:`~daf_views.schemas.library.Schema`."""

    __slots__ = ("_adapter", "_read", "kind")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self._read = reader_of(kind, _triples)
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def load(self, value: Any, *, is_text: bool = False) -> Any:  # noqa: ARG002 - how strict it is, the model says
        """Return the value as one of the type."""
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            raise _translated(error) from None

    def shape(self, value: Any, *, is_checked: bool) -> Any:
        """Return what a handler has returned as one of the type."""
        if is_own(self.kind) and isinstance(value, self.kind):
            if not is_checked:
                return value
            value = self._adapter.dump_python(value, by_alias=True, warnings=False)
        try:
            data = value if self._read is None else self._read(value)
            return self._adapter.validate_python(data, from_attributes=True)
        except ValidationError as error:
            raise _translated(error) from None

    def dump(self, value: Any) -> bytes:
        """Return it as JSON."""
        return self._adapter.dump_json(value, by_alias=True)

    def plain(self, value: Any) -> Any:
        """Return it as what JSON has."""
        return self._adapter.dump_python(value, mode="json", by_alias=True)

    def fields(self) -> Mapping[str, Any] | None:
        """Return the types of its fields."""
        fields = _triples(self.kind)
        return None if fields is None else {name: each for _, name, each in fields}

    def json_schema(self, *, is_output: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return its JSON Schema."""
        mode: Any = "serialization" if is_output else "validation"
        schema = self._adapter.json_schema(ref_template=REF, mode=mode, by_alias=True)
        return schema, schema.pop("$defs", {})


def _triples(kind: Any) -> list[tuple[str, str, Any]] | None:
    model = bare(kind)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    return [(name, field.alias or name, field.annotation) for name, field in model.model_fields.items()]


def _translated(error: ValidationError) -> SchemaError:
    """Say it without the value, which pydantic's own message repeats."""
    return SchemaError(
        [
            Violation(
                tuple(each["loc"]),
                "This field is required." if each["type"] == "missing" else each["msg"].rstrip(".") + ".",
                "required" if each["type"] == "missing" else each["type"],
            )
            for each in error.errors(include_url=False, include_context=False, include_input=False)[:MOST]
        ]
    )
