"""Generic types and type aliases: the types that their variables and names stand for.

A type variable without a type promises nothing: an input would not be checked, and an output would be shown whole.
"""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Iterator, Mapping
from typing import (
    Annotated,
    Any,
    ForwardRef,
    Generic,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from daf_views.schemas.annotations import bare, has_fields, is_set, is_typed_dict

Arguments = Mapping[Any, Any]
"""Types by variable."""

NOTHING = TypeVar("NOTHING")
"""Stands for a variable without a type."""
_DEPTH = 50
"""Types within types that are looked at: a generic type may refer to itself with ever new arguments."""


def own_variables(cls: Any) -> tuple[Any, ...]:
    """Return the type variables of a generic class, or of a class with PEP 695's parameters."""
    parameters: tuple[Any, ...] = getattr(cls, "__parameters__", ())
    return parameters


def variables_in(kind: Any) -> tuple[Any, ...]:
    """Return the type variables that an annotation mentions."""
    if isinstance(kind, TypeVar):
        return (kind,)
    generic = getattr(kind, "__pydantic_generic_metadata__", None)  # of a model that has been given arguments
    if generic is not None:
        return tuple(generic["parameters"]) if generic["args"] else ()
    return getattr(kind, "__parameters__", ()) if get_origin(kind) is not None else ()


def replaced(kind: Any, arguments: Arguments) -> Any:
    """Return an annotation with types for its variables, as far as there are some."""
    if isinstance(kind, TypeVar):
        return arguments.get(kind, kind)
    variables = variables_in(kind)
    if not variables:
        return kind
    if not all(isinstance(each, TypeVar) for each in variables):
        raise TypeError(f"{kind!r} has a type parameter that is not a TypeVar, which no type can replace.")
    return kind[tuple(arguments.get(each, each) for each in variables)]


def bases_with_arguments(cls: type, arguments: Arguments) -> Iterator[tuple[type, Arguments]]:
    """Yield the class and all that it derives from, with the types of their variables."""
    yield cls, arguments
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin: Any = get_origin(base) or base
        if not isinstance(origin, type) or origin in {Generic, Protocol, object}:
            continue
        given = dict(
            zip(
                own_variables(origin),
                (replaced(_known(cls, each), arguments) for each in get_args(base)),
                strict=False,
            )
        )
        for each in own_variables(origin):
            given.setdefault(each, fallback(each, given))
        yield from bases_with_arguments(origin, given)


def fallback(variable: Any, arguments: Arguments) -> Any:
    """Return the meaning of a variable without a type: its default, its bound, or one of its constraints."""
    if not isinstance(variable, TypeVar):
        return NOTHING
    if (has_default := getattr(variable, "has_default", None)) is not None and has_default():
        return replaced(getattr(variable, "__default__", None), arguments)  # PEP 696, from Python 3.13 on
    if variable.__bound__ is not None:
        return _evaluated(variable.__bound__, variable.__module__)
    if variable.__constraints__:
        return Union[variable.__constraints__]  # noqa: UP007 - of a tuple
    return NOTHING


def unaliased(kind: Any, within: tuple[Any, ...] = ()) -> Any:
    """Return an annotation with the types that its aliases (PEP 695) stand for, except those within themselves."""
    origin, arguments = get_origin(kind), get_args(kind)
    alias = kind if origin is None else origin
    if hasattr(alias, "__value__") and alias not in within:
        parameters = getattr(alias, "__type_params__", ())
        return unaliased(replaced(alias.__value__, dict(zip(parameters, arguments, strict=False))), (*within, alias))
    plain = tuple(each if isinstance(each, list) else unaliased(each, within) for each in arguments)
    if all(one is other for one, other in zip(plain, arguments, strict=True)):
        return kind
    if origin is Annotated:
        return Annotated[(plain[0], *kind.__metadata__)]
    if origin in {Union, types.UnionType}:
        return functools.reduce(operator.or_, plain)
    return origin[plain]


def refuse_unsound(kind: Any, *, is_output: bool = False) -> None:
    """Raise TypeError for a type with a variable that has no type, at any depth: nothing of it would be checked.

    A variable with a bound or constraints is of these. An output can have no set of what has no hash, either: it could
    not be made.
    """
    _Search(is_output=is_output).look_into(kind, 0)


class _Search:
    """A look at all types that a type consists of."""

    def __init__(self, *, is_output: bool) -> None:
        self._is_output = is_output
        self._seen: list[Any] = []

    def look_into(self, kind: Any, depth: int) -> None:
        if depth > _DEPTH or any(kind is each or kind == each for each in self._seen):
            return
        self._seen.append(kind)
        if isinstance(kind, TypeVar):
            _refuse(kind, None)
            return
        origin, arguments = get_origin(kind) or kind, get_args(kind)
        if hasattr(origin, "__value__"):
            self.look_into(unaliased(kind), depth + 1)
            return
        if self._is_output and arguments and is_set(kind):
            _refuse_without_hash(arguments[0])
        for each in arguments:
            if not isinstance(each, list):  # the parameters of a Callable
                self.look_into(each, depth + 1)
        if isinstance(origin, type) and _has_parts(origin):
            for hint in _hints(origin, dict(zip(own_variables(origin), arguments, strict=False))):
                self.look_into(hint, depth + 1)


def _hints(cls: Any, arguments: Arguments) -> Iterator[Any]:
    """Yield the types of a class's fields. Raises TypeError for one with a variable that has no type."""
    fields = getattr(cls, "model_fields", None)
    if fields is not None:  # pydantic puts the arguments into the fields of a class
        yield from (each.annotation for each in fields.values())
        return
    given: dict[Any, Any] = {}
    for _, types_by_variable in bases_with_arguments(cls, arguments):
        given.update(types_by_variable)
    for hint in _hints_of(cls).values():
        for each in variables_in(hint):
            if given.get(each, each) in (each, NOTHING):
                _refuse(each, cls)
        yield replaced(hint, {each: kind for each, kind in given.items() if kind is not NOTHING})


def _hints_of(cls: Any) -> Mapping[str, Any]:
    try:
        return get_type_hints(cls, include_extras=True)
    except NameError:  # the library that makes the schema has said so
        return {}


def _has_parts(cls: type) -> bool:
    is_named_tuple = issubclass(cls, tuple) and cls is not tuple
    return has_fields(cls) or hasattr(cls, "__attrs_attrs__") or is_named_tuple


def _refuse(variable: Any, cls: Any) -> None:
    if isinstance(variable, TypeVar) and (variable.__bound__ is not None or variable.__constraints__):
        return
    place, remedy = ("it", "a type in its place") if cls is None else (cls.__qualname__, f"{cls.__qualname__}[…]")
    raise TypeError(
        f"{place} has the type variable {variable.__name__}, which has no type, so that nothing of it would be "
        f"checked or left out: write {remedy}"
    )


def _refuse_without_hash(item: Any) -> None:
    item = bare(item)
    cls: Any = get_origin(item) or item
    if isinstance(cls, type) and not _may_have_hash(cls):
        raise TypeError(f"a set cannot hold {cls.__qualname__}, which has no hash: write list[{cls.__qualname__}]")


def _may_have_hash(cls: Any) -> bool:
    of_struct = getattr(cls, "__struct_config__", None)
    if of_struct is not None:
        return bool(of_struct.frozen or not of_struct.eq)
    return cls.__hash__ is not None and not is_typed_dict(cls)


def _known(cls: type, kind: Any) -> Any:
    """Return an argument of a base without forward references. Raises TypeError for one that is not known yet."""
    try:
        return _evaluated(kind, cls.__module__)
    except NameError as error:
        raise TypeError(
            f"{cls.__qualname__} is of {kind!r}, which is not known when the class is made: {error}."
        ) from None


def _evaluated(kind: Any, module: str) -> Any:
    if not isinstance(kind, ForwardRef) and get_origin(kind) is None:
        return kind
    holder = type("holder", (), {"__annotations__": {"it": kind}, "__module__": module})
    return get_type_hints(holder, include_extras=True)["it"]
