"""Readers of pydantic types. A type that pydantic would encode beyond its own fields is refused.

pydantic encodes by the type, and not by the value. There are exceptions: ``SerializeAsAny``,
``polymorphic_serialization``, a bound type variable that has no argument. Others are arbitrary classes, of which it
shows all that an instance has, and in older releases the items of a NamedTuple. A type with one of them is refused
when the view's class is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

from daf_views.schemas.annotations import bare, is_list, item_of
from daf_views.schemas.readers import Choice, ListReader, ObjectReader, Part, Reader, Values

_WITH_FIELDS = frozenset({"model", "dataclass", "typed-dict", "definition-ref"})
Fields = Iterable[tuple[str, str, Any]]
"""For each field of a type: the attribute, the name that it is built with, and its type."""


def reader_of(
    kind: Any, fields_of: Callable[[Any], Fields | None], known: dict[Any, ObjectReader] | None = None
) -> Reader | None:
    """Return the reader of a type; None if its values are taken unchanged."""
    known = {} if known is None else known
    kind = bare(kind)
    if kind in known:  # it refers to itself
        return known[kind]
    if (fields := fields_of(kind)) is not None:
        reader = known[kind] = ObjectReader(get_origin(kind) or kind, takes_all=True)
        reader.find([Part(attribute, name, reader_of(each, fields_of, known)) for attribute, name, each in fields])
        return reader
    if is_list(kind):
        item = item_of(kind)
        return ListReader(None if item is None else reader_of(item, fields_of, known))
    if get_origin(kind) in {dict, Mapping} and (args := get_args(kind)):
        values = reader_of(args[1], fields_of, known)
        return None if values is None else Values(values)
    members = [reader_of(each, fields_of, known) for each in get_args(kind)]
    choices = [each for each in members if isinstance(each, ObjectReader)]
    return Choice(choices) if choices else None


def refuse_unfiltered(core_schema: Any, *, filters_named_tuples: bool) -> None:
    """Raise TypeError, with the reason, for a type of which pydantic would show more than its fields."""
    for node in _nodes(core_schema):
        serialization = node.get("serialization") or {}
        shown = (serialization.get("schema") or serialization).get("type")
        if shown == "any" and node.get("type") != "any":
            raise TypeError(
                "SerializeAsAny, or a type variable without an argument, shows what the annotated type has no field "
                "for: name the types that are shown"
            )
        if isinstance(config := node.get("config"), Mapping) and config.get("polymorphic_serialization"):
            raise TypeError("polymorphic_serialization shows what the annotated type has no field for")
        if node.get("type") == "is-instance" and not serialization:
            raise TypeError(f"{node['cls']!r} is not known to pydantic, which would show all that an instance has")
        if node.get("type") == "call" and not (serialization or filters_named_tuples or _holds_nothing(node)):
            raise TypeError("this pydantic does not filter what a NamedTuple holds: install a newer one")


def _holds_nothing(core_schema: Any) -> bool:
    """Return True if a type holds nothing that has fields, and so nothing that could have more of them."""
    return not any(each.get("type") in _WITH_FIELDS for each in _nodes(core_schema))


def _nodes(core_schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas within a core schema that define the output."""
    left, seen = [core_schema], set[int]()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            yield node
            shown = ("serialization", "metadata", "config", "default")
            is_said = isinstance(node.get("serialization"), Mapping) and "type" in node
            # If the schema says how a value is shown, its parts say nothing more.
            left += [each for name, each in node.items() if name not in shown] if not is_said else []
            left += [node["serialization"].get("schema"), node.get("definitions")] if is_said else []
        elif isinstance(node, list | tuple):
            left += node
