"""Type variables in the annotations of a generic base view's handlers, replaced by the types that a subclass gives.

``class Users(ListOf[UserOut])`` takes and shows what ``ListOf[T]`` says of ``T``, through any number of bases. A
variable without an argument means its default (PEP 696), its bound, or one of its constraints.

A view with a variable that has none of these would check and filter nothing. It is refused when the class is made, or
by ``as_view()`` if the class is generic itself and so perhaps only a base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ForwardRef, Generic, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

Arguments = Mapping[Any, Any]
"""Types by variable."""

_NOTHING = TypeVar("_NOTHING")
"""Stands for a variable without a type."""


class OpenTypeVariableError(TypeError):
    """A handler's annotation has a type variable that the class leaves to its subclasses."""


def owner_of(cls: type, name: str) -> type:
    """Return the class that has the attribute, along the MRO."""
    return next(klass for klass in cls.__mro__ if name in vars(klass))


def type_parameters(owner: type) -> dict[str, Any]:
    """Return the type parameters of a class (PEP 695) by name, as annotations that are strings need them."""
    return {each.__name__: each for each in getattr(owner, "__type_params__", ())}


def substituted(cls: type, owner: type, hint: Any, name: str) -> Any:
    """Return an annotation of a handler that ``owner`` defines, resolved for ``cls``. ``name`` is the handler's.

    Raises TypeError for a variable that means nothing; OpenTypeVariableError if a subclass may still say.
    """
    if not (variables := _variables_in(hint)):
        return hint
    arguments = next((given for klass, given in _bases(cls, {each: each for each in _own(cls)}) if klass is owner), {})
    result = _replaced(hint, arguments)
    meanings = {each: _fallback(each, arguments) for each in _variables_in(result)}
    if missing := [each for each, meaning in meanings.items() if meaning is _NOTHING]:
        is_open = set(missing) <= set(_own(cls))
        raise (OpenTypeVariableError if is_open else TypeError)(
            f"{name} has the type variable {', '.join(each.__name__ for each in variables)}, which has no type: "
            f"derive a class from {owner.__qualname__}[…], with a type for each."
        )
    return _replaced(result, meanings)


def _bases(cls: type, arguments: Arguments) -> Iterator[tuple[type, Arguments]]:
    """Yield the class and all that it derives from, with the types of their variables."""
    yield cls, arguments
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin: Any = get_origin(base) or base
        if not isinstance(origin, type) or origin in {Generic, Protocol, object}:
            continue
        given = dict(
            zip(_own(origin), (_replaced(_known(cls, each), arguments) for each in get_args(base)), strict=False)
        )
        for each in _own(origin):
            given.setdefault(each, _fallback(each, given))
        yield from _bases(origin, given)


def _own(cls: type) -> tuple[Any, ...]:
    parameters: tuple[Any, ...] = getattr(cls, "__parameters__", ())
    return parameters


def _variables_in(kind: Any) -> tuple[Any, ...]:
    if isinstance(kind, TypeVar):
        return (kind,)
    generic = getattr(kind, "__pydantic_generic_metadata__", None)  # of a model that has been given arguments
    if generic is not None:
        return tuple(generic["parameters"]) if generic["args"] else ()
    return getattr(kind, "__parameters__", ()) if get_origin(kind) is not None else ()


def _replaced(kind: Any, arguments: Arguments) -> Any:
    if isinstance(kind, TypeVar):
        return arguments.get(kind, kind)
    variables = _variables_in(kind)
    if not variables:
        return kind
    if not all(isinstance(each, TypeVar) for each in variables):
        raise TypeError(f"{kind!r} has a type parameter that is not a TypeVar, which no type can replace.")
    return kind[tuple(arguments.get(each, each) for each in variables)]


def _fallback(variable: Any, arguments: Arguments) -> Any:
    """Return the meaning of a variable without a type: its default, its bound, or one of its constraints."""
    if not isinstance(variable, TypeVar):
        return _NOTHING
    if (has_default := getattr(variable, "has_default", None)) is not None and has_default():
        return _replaced(getattr(variable, "__default__", None), arguments)  # PEP 696, from Python 3.13 on
    if variable.__bound__ is not None:
        return _evaluated(variable.__bound__, variable.__module__)
    if variable.__constraints__:
        return Union[variable.__constraints__]  # noqa: UP007 - of a tuple
    return _NOTHING


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
