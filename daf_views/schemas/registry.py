"""The libraries that know types, and the interface to their schemas."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, get_args, get_origin

from django.db.models import Model, QuerySet
from django.forms import BaseForm

from daf_views.schemas.violations import SchemaError, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daf_views.schemas.readers import Reader

__all__ = ["Schema", "SchemaError", "Violation", "attributes_of", "schema_of"]

REF = "#/components/schemas/{}"
"""The place of the schemas in an OpenAPI document, to which others refer."""


class Schema(Protocol):
    """A type of an annotation, as its library has it."""

    @property
    def reader(self) -> Reader | None:
        """The reader of values that are shown; None if they are taken unchanged, or if none has been made."""

    def load(self, value: Any, *, is_text: bool = False) -> Any:
        """Return the value as one of the type. Raise SchemaError with all its mistakes.

        ``is_text``: numbers and booleans are spelt out, as in a query string.
        """

    def prepare_output(self) -> None:
        """Prepare :meth:`shape`. Raises TypeError if values of the type might show more than its fields."""

    def shape(self, value: Any, *, is_checked: bool) -> Any:
        """Return a handler's return value as one of the type; instances of other classes by their attributes.

        Nothing is in it that the type has no field for, at any depth. Raises SchemaError. A value of the type itself
        is validated only if ``is_checked``.
        """

    def dump(self, value: Any) -> bytes:
        """Return a value of the type as JSON."""

    def plain(self, value: Any) -> Any:
        """Return a value of the type as dicts, lists, texts and numbers."""

    def fields(self) -> Mapping[str, Any] | None:
        """Return the types of its fields, by each name that clients may use; None if it has none."""

    def takes_unknown(self) -> bool:
        """Return True if it looks at names without a field: it refuses them, or keeps them."""

    def unchecked(self) -> list[frozenset[str]]:
        """Return the names of each truth value without a default: in a form, an unchecked box is left out."""

    def json_schema(self, *, is_output: bool) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return its JSON Schema (2020-12), and those that it refers to, by name: see ``REF``."""


def _refuse_rows(kind: Any) -> None:
    """Raise TypeError for a class of Django that says which rows, and not which of their fields, are meant."""
    for each in (kind, *get_args(kind)):
        cls = get_origin(each) or each
        is_rows = isinstance(cls, type) and issubclass(cls, Model | QuerySet | BaseForm)
        if is_rows and not hasattr(cls, "__get_pydantic_core_schema__"):
            raise TypeError(
                f"{cls.__qualname__} is a {_kind_of(cls)} of Django, which does not say which fields clients send and "
                "see: name a type with these fields, such as a msgspec.Struct or a pydantic model."
            )
        if each is not kind:
            _refuse_rows(each)


def _kind_of(cls: type) -> str:
    return "model" if issubclass(cls, Model) else "queryset" if issubclass(cls, QuerySet) else "form"


@cache
def _library(name: str) -> Any:
    return import_module(f"daf_views.schemas.{name}_schema") if find_spec(name) else None


def schema_of(kind: Any) -> Schema:
    """Return the schema of a type. Raises TypeError if no installed library knows it."""
    _refuse_rows(kind)
    pydantic, msgspec = _library("pydantic"), _library("msgspec")
    if pydantic is not None and _has_pydantics(kind, pydantic):
        schema: Schema = pydantic.schema_of(kind)
        return schema
    if msgspec is None and pydantic is None:
        raise TypeError(
            'Typed handlers need a library that checks types: pip install "django-daf[msgspec]", '
            'or "django-daf[pydantic]".'
        )
    reasons = []
    for library in (msgspec, pydantic):
        try:
            if library is not None:
                return library.schema_of(kind)  # type: ignore[no-any-return] # a Schema
        except TypeError as error:
            reasons.append(str(error))
    raise TypeError(f"No installed library can check {kind!r} ({'; '.join(reasons)}).")


def attributes_of(kind: Any) -> list[tuple[str, str, Any]] | None:
    """Return, for each field of a type, the attribute, the name that it is built with, and its type."""
    pydantic, msgspec = _library("pydantic"), _library("msgspec")
    for library in (pydantic if pydantic is not None and pydantic.is_own(kind) else None, msgspec, pydantic):
        if library is not None:
            return library.attributes_of(kind)  # type: ignore[no-any-return] # see either
    return None


def _has_pydantics(kind: Any, pydantic: Any) -> bool:
    return pydantic.is_own(kind) or any(_has_pydantics(each, pydantic) for each in get_args(kind))
