"""The ``components`` of a document: schemas under names of their own, security schemes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from daf_views.schemas import Schema

_REF = "#/components/schemas/"
_ERROR = {
    "type": "object",
    "properties": {
        "pointer": {"type": "string", "description": "JSON Pointer (RFC 6901) to a place in the body."},
        "parameter": {"type": "string"},
        "location": {"enum": ["query", "header"]},
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
    """What operations refer to."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {"Problem": PROBLEM}
        self.security: dict[str, Any] = {}

    def schema(self, schema: Schema, *, is_output: bool = False) -> dict[str, Any]:
        """Return a type's JSON Schema; those that it refers to are added, under names that are free."""
        made, others = schema.json_schema(is_output=is_output)
        names = {name: self._name(name, each) for name, each in others.items()}
        for name, each in others.items():
            self.schemas[names[name]] = _renamed(each, names)
        renamed: dict[str, Any] = _renamed(made, names)
        return renamed

    def as_dict(self) -> dict[str, Any]:
        """Return the Components Object."""
        return {"schemas": self.schemas, **({"securitySchemes": self.security} if self.security else {})}

    def _name(self, name: str, schema: Any) -> str:
        """Return a name that nothing else has: two modules may have a class of one name."""
        free, number = name, 2
        while free in self.schemas and self.schemas[free] != _renamed(schema, {name: free}):
            free, number = f"{name}{number}", number + 1
        return free


def _renamed(schema: Any, names: dict[str, str]) -> Any:
    if isinstance(schema, dict):
        return {
            key: _REF + names.get(value.removeprefix(_REF), value.removeprefix(_REF))
            if key == "$ref" and isinstance(value, str)
            else _renamed(value, names)
            for key, value in schema.items()
        }
    return [_renamed(each, names) for each in schema] if isinstance(schema, list) else schema
