"""The signature of a handler as its decorators leave it.

``inspect.signature()`` decides: a wrapper made with ``functools.wraps()`` has the signature of what it wraps, and one
with a ``__signature__`` has that. A parameter that a decorator has taken out there is not the client's to give.
"""

from __future__ import annotations

import inspect
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, get_type_hints

from daf_views.schemas.generics import unaliased

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

_NONE = inspect.Parameter.empty
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_GIVEN = 2  # self and request, by position
_UNKNOWN = (NameError, AttributeError, SyntaxError, TypeError)

if sys.version_info >= (3, 14):  # annotations are evaluated when they are asked for, and may be names for type checkers
    from annotationlib import Format

    _inspected = partial(inspect.signature, annotation_format=Format.FORWARDREF)
else:
    _inspected = inspect.signature


def signature_seen(handler: Any) -> inspect.Signature:
    """Return the signature that callers see, annotations as they were written."""
    return _inspected(handler)


def hints_of(
    name: str, handler: Any, signature: inspect.Signature, type_parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the types of a signature's named parameters, and of ``"return"``, where they are annotated.

    ``type_parameters`` are those of the handler's class, by name (PEP 695), which no module has. Raises TypeError,
    which begins with the ``name`` of the handler, for an annotation that means nothing at run time.
    """
    written = {each.name: each.annotation for each in signature.parameters.values() if each.kind in _NAMED}
    written["return"] = signature.return_annotation
    return {
        each: _resolved(name, each, annotation, {**_scope(handler, each), **type_parameters})
        for each, annotation in written.items()
        if annotation is not _NONE
    }


def refuse_wrapper(name: str, handler: Any, asked: AbstractSet[str]) -> None:
    """Raise TypeError if the outermost wrapper cannot be called with the arguments that the signature asks for."""
    code = getattr(handler, "__code__", None)
    if code is None or not (hasattr(handler, "__wrapped__") or hasattr(handler, "__signature__")):
        return
    taken = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    if not code.co_flags & inspect.CO_VARKEYWORDS and (unknown := sorted(asked - taken)):
        raise TypeError(
            f"{name}: its decorator does not pass on {', '.join(map(repr, unknown))}: let the wrapper take **kwargs, "
            "or remove them from its __signature__."
        )
    if wanted := sorted(_required(handler, code) - asked):
        raise TypeError(
            f"{name}: its decorator requires {', '.join(map(repr, wanted))}, missing from the signature: "
            "add them to the wrapper's __signature__."
        )


def _required(handler: Any, code: Any) -> set[str]:
    """Return the names that a function has no default for, beside ``self`` and the request."""
    positional = code.co_varnames[: code.co_argcount]
    named = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    without_default = positional[: len(positional) - len(handler.__defaults__ or ())]
    return {*without_default[_GIVEN:], *named} - set(handler.__kwdefaults__ or ())


def _scope(handler: Any, name: str) -> Mapping[str, Any]:
    """Return the globals by which an annotation was written: the handler's, or those of the wrapper that added it."""
    innermost = inspect.unwrap(handler)
    if name in _named_by(innermost):
        return getattr(innermost, "__globals__", {})
    wrapper = inspect.unwrap(handler, stop=lambda each: hasattr(each, "__signature__"))
    return getattr(wrapper, "__globals__", {})


def _named_by(function: Any) -> AbstractSet[str]:
    code = getattr(function, "__code__", None)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code is not None else ()
    return {*names, "return"}


def _resolved(name: str, what: str, annotation: Any, scope: Mapping[str, Any]) -> Any:
    holder: Any = type("holder", (), {"__annotations__": {"it": annotation}})
    try:
        return unaliased(get_type_hints(holder, dict(scope), include_extras=True)["it"])
    except _UNKNOWN as error:
        subject = "its return value" if what == "return" else repr(what)
        raise TypeError(
            f"{name}: the annotation of {subject} is not known when the class is made ({error}): define or import its "
            "type above, and not under TYPE_CHECKING."
        ) from error
