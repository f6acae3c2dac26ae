"""Type variables in the annotations of a generic base view's handlers, replaced by the types that a subclass gives.

``class Users(ListOf[UserOut])`` takes and shows what ``ListOf[T]`` says of ``T``, through any number of bases. A
variable without an argument means its default (PEP 696), its bound, or one of its constraints.

A view with a variable that has none of these would check and filter nothing. It is refused when the class is made, or
by ``as_view()`` if the class is generic itself and so perhaps only a base.
"""

from __future__ import annotations

from typing import Any

from daf_views.schemas.generics import NOTHING, bases_with_arguments, fallback, own_variables, replaced, variables_in


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
    if not (variables := variables_in(hint)):
        return hint
    arguments = next(
        (
            given
            for klass, given in bases_with_arguments(cls, {each: each for each in own_variables(cls)})
            if klass is owner
        ),
        {},
    )
    result = replaced(hint, arguments)
    meanings = {each: fallback(each, arguments) for each in variables_in(result)}
    if missing := [each for each, meaning in meanings.items() if meaning is NOTHING]:
        is_open = set(missing) <= set(own_variables(cls))
        raise (OpenTypeVariableError if is_open else TypeError)(
            f"{name} has the type variable {', '.join(each.__name__ for each in variables)}, which has no type: "
            f"derive a class from {owner.__qualname__}[…], with a type for each."
        )
    return replaced(result, meanings)
