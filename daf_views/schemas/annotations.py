"""Types as annotations spell them."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
from functools import lru_cache
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

_WRAPPERS = frozenset({Annotated, Required, NotRequired})
_SEQUENCES = frozenset(
    {list, tuple, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection}
)
_SETS = frozenset({set, frozenset, collections.abc.Set, collections.abc.MutableSet})


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A field of a type."""

    attribute: str
    name: str
    """As clients know it."""
    kind: Any
    is_required: bool


def bare(kind: Any) -> Any:
    """Return the type without what annotates it, and of ``X | None`` (or ``UnsetType``, msgspec's) the X."""
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
    """Whether it holds as many values as there are."""
    kind = bare(kind)
    return (get_origin(kind) or kind) in _SEQUENCES | _SETS


def is_set(kind: Any) -> bool:
    """Whether it holds each value once."""
    kind = bare(kind)
    return (get_origin(kind) or kind) in _SETS


def item_of(kind: Any) -> Any:
    """Return the type of what a list, a set, or a tuple of any length holds; None if there is not one."""
    kind = bare(kind)
    args = [each for each in get_args(kind) if each is not ...]
    return args[0] if is_list(kind) and len(args) == 1 else None


@lru_cache(maxsize=1024)
def plain_fields(kind: Any) -> tuple[Field, ...] | None:
    """Return the fields of a dataclass or a TypedDict, generic ones with their arguments; None for any other type."""
    cls: Any = get_origin(kind) or kind
    if is_typeddict(cls):
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
