"""Types as annotations spell them."""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import types
from functools import lru_cache
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

_WRAPPERS = frozenset({Annotated, Required, NotRequired})
_SEQUENCES = frozenset(
    {
        *(list, tuple, collections.deque),
        *(collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection),
    }
)
_SETS = frozenset({set, frozenset, collections.abc.Set, collections.abc.MutableSet})
_MAPPING = collections.abc.Mapping
_MARKS = ("__dataclass_fields__", "__struct_fields__", "model_fields", "__required_keys__")


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A field of a type."""

    attribute: str
    name: str
    """As clients know it."""
    kind: Any
    is_required: bool


def bare(kind: Any) -> Any:
    """Return the type without its metadata, and without ``None`` or msgspec's ``UnsetType`` in a union."""
    while True:
        if get_origin(kind) in _WRAPPERS:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):  # a NewType
            kind = kind.__supertype__
        elif get_origin(kind) in {Union, types.UnionType}:
            others = [each for each in get_args(kind) if each is not types.NoneType and _name(each) != "UnsetType"]
            if len(others) != 1:
                return kind
            kind = others[0]
        else:
            return kind


def is_list(kind: Any) -> bool:
    """Return True if it holds any number of values."""
    kind = bare(kind)
    return (get_origin(kind) or kind) in _SEQUENCES | _SETS


def is_set(kind: Any) -> bool:
    """Return True if it holds each value once."""
    kind = bare(kind)
    return (get_origin(kind) or kind) in _SETS


def item_of(kind: Any) -> Any:
    """Return the type of the items of a list, a set, or a tuple of any length; None if there is not one."""
    kind = bare(kind)
    args = [each for each in get_args(kind) if each is not ...]
    return args[0] if is_list(kind) and len(args) == 1 else None


def members(kind: Any) -> list[Any]:
    """Return the types that a type may be of, without None: more than one only for a union."""
    kind = bare(kind)
    if get_origin(kind) in {Union, types.UnionType}:
        return [bare(each) for each in get_args(kind) if each is not types.NoneType]
    return [kind]


def is_truth(kind: Any) -> bool:
    """Return True if the type's values are True and False."""
    return bare(kind) is bool


def takes_none(kind: Any) -> bool:
    """Return True if None is a value of the type."""
    while get_origin(kind) in _WRAPPERS:
        kind = get_args(kind)[0]
    return kind is None or types.NoneType in get_args(kind)


def is_object(kind: Any) -> bool:
    """Return True if the type's values are objects in JSON: it has fields, or is a mapping."""
    classes = [get_origin(each) or each for each in members(kind)]
    return all(isinstance(each, type) and (has_fields(each) or issubclass(each, _MAPPING)) for each in classes)


def has_fields(kind: Any) -> bool:
    """Return True if the type is a Struct, a model, a dataclass or a TypedDict."""
    kind = bare(kind)
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and any(hasattr(kind, each) for each in _MARKS)


def is_typed_dict(kind: Any) -> bool:
    """Return True for a TypedDict, that of ``typing_extensions`` as well."""
    return is_typeddict(kind) or (
        isinstance(kind, type) and issubclass(kind, dict) and hasattr(kind, "__required_keys__")
    )


@lru_cache(maxsize=1024)
def plain_fields(kind: Any) -> tuple[Field, ...] | None:
    """Return the fields of a dataclass or a TypedDict, generic ones with their arguments; None for any other type."""
    cls: Any = get_origin(kind) or kind
    if is_typed_dict(cls):
        hints = _hints(kind, cls)
        return tuple(Field(name, name, each, name in cls.__required_keys__) for name, each in hints.items())
    if isinstance(cls, type) and dataclasses.is_dataclass(cls):
        hints = _hints(kind, cls)
        return tuple(
            Field(each.name, each.name, hints[each.name], _is_required(each))
            for each in dataclasses.fields(cls)
            if each.init
        )
    return None


def _hints(kind: Any, cls: Any) -> dict[str, Any]:
    arguments = dict(zip(getattr(cls, "__parameters__", ()), get_args(kind), strict=False))
    hints = get_type_hints(cls, include_extras=True)
    return {name: _substituted(each, arguments) for name, each in hints.items()}


def _substituted(kind: Any, arguments: dict[Any, Any]) -> Any:
    if kind in arguments:
        return arguments[kind]
    parameters = getattr(kind, "__parameters__", ())
    return kind[tuple(arguments.get(each, Any) for each in parameters)] if parameters else kind


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", "")
