"""The ``components`` of a document: named schemas and security schemes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daf_views.schemas import Schema

_REF = "#/components/schemas/"
_ERROR = {
    "type": "object",
    "properties": {
        "pointer": {"type": "string", "description": "JSON Pointer (RFC 6901) to a place in the body."},
        "parameter": {"type": "string"},
        "location": {"enum": ["query", "header", "cookie"]},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    },
    "required": ["detail", "code"],
}
PROBLEM = {
    "title": "Problem",
    "description": "A problem (RFC 9457).",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {"type": "array", "items": _ERROR},
    },
    "required": ["type", "title", "status"],
}


class Components:
    """The objects that operations refer to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {"Problem": PROBLEM}
        self.responses: dict[str, Any] = {}
        self.security: dict[str, Any] = {}
        self._are_output: dict[str, bool] = {}
        self._operation_ids: set[str] = set()

    def operation_id(self, wanted: str) -> str:
        """Return a unique operation id: ``a-b/`` and ``a/b/`` have the same words."""
        free, number = wanted, 1
        while free in self._operation_ids:
            number += 1
            free = f"{wanted}_{number}"
        self._operation_ids.add(free)
        return free

    def scheme(self, name: str, scheme: dict[str, Any]) -> str:
        """Add a security scheme; return its name."""
        free, number = name, 1
        while self.security.setdefault(free, scheme) != scheme:
            number += 1
            free = f"{name}{number}"
        return free

    def response(self, name: str, response: dict[str, Any]) -> dict[str, Any]:
        """Add a response that many operations share; return a reference to it."""
        self.responses[name] = response
        return {"$ref": f"#/components/responses/{name}"}

    def schema(self, schema: Schema, *, is_output: bool = False) -> dict[str, Any]:
        """Return a type's JSON Schema; those that it refers to are added, under names that are free."""
        made, others = schema.json_schema(is_output=is_output)
        names = self._names(others, is_output=is_output)
        for name, each in others.items():
            self.schemas[names[name]] = _renamed(each, names)
            self._are_output.setdefault(names[name], is_output)
        renamed: dict[str, Any] = _renamed(made, names)
        return renamed

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema that a schema refers to, without null."""
        if "$ref" in schema:
            return self.resolved(self.schemas[schema["$ref"].removeprefix(_REF)])
        others = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        return self.resolved(others[0]) if len(others) == 1 else schema

    def as_dict(self) -> dict[str, Any]:
        """Return the Components Object."""
        others = {"responses": self.responses, "securitySchemes": self.security}
        return {"schemas": self.schemas, **{name: each for name, each in others.items() if each}}

    def _names(self, schemas: dict[str, Any], *, is_output: bool) -> dict[str, str]:
        """Return unique names: two modules may have classes of one name.

        A type may differ between input and output, too: then the second to be added has a suffix that tells which.

        A schema changes if one that it refers to is renamed, so this repeats until nothing changes.
        """
        names, numbers = {name: name for name in schemas}, dict.fromkeys(schemas, 1)
        while taken := [name for name, each in schemas.items() if self._is_taken(names[name], _renamed(each, names))]:
            for name in taken:
                numbers[name] += 1
                names[name] = self._another(name, numbers[name], is_output=is_output)
        return names

    def _another(self, name: str, number: int, *, is_output: bool) -> str:
        if self._are_output.get(name, is_output) is is_output:
            return f"{name}{number}"
        return f"{name}{'Output' if is_output else 'Input'}{number - 1 if number > 2 else ''}"  # noqa: PLR2004 - the first

    def _is_taken(self, name: str, schema: Any) -> bool:
        return name in self.schemas and self.schemas[name] != schema


def _renamed(schema: Any, names: dict[str, str]) -> Any:
    """Return a schema that refers to others by their new names, and has no NaN or infinity."""
    if isinstance(schema, dict):
        return {key: _renamed(value, names) for key, value in schema.items() if _is_json(value)}
    if isinstance(schema, list):
        return [_renamed(each, names) for each in schema]
    if isinstance(schema, str) and schema.startswith(_REF):  # of $ref, and of a discriminator's mapping
        return _REF + names.get(schema.removeprefix(_REF), schema.removeprefix(_REF))
    return schema


def _is_json(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
