"""Copy callables that code has put on one Django wrapper to a second wrapper of the same owner.

Instrumentation such as django-debug-toolbar's replaces ``connection.cursor`` by a function that has the wrapper in its
closure. On another wrapper that function has to refer to the other one.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class CannotCarry(Exception):
    """A callable may refer to its wrapper in a way that cannot be seen."""


def carried(value: Any, others: Mapping[int, Any]) -> Any:
    """Return a copy of a callable that refers to other objects: ``others`` has the replacement of each, by ``id()``.

    Raises CannotCarry if it cannot be copied.
    """
    if id(value) in others:
        return others[id(value)]
    if isinstance(value, types.MethodType):
        instance = carried(value.__self__, others)
        return value if instance is value.__self__ else types.MethodType(value.__func__, instance)
    if isinstance(value, functools.partial):
        arguments = [carried(each, others) for each in value.args]
        keywords = {name: carried(each, others) for name, each in value.keywords.items()}
        return functools.partial(carried(value.func, others), *arguments, **keywords)
    if isinstance(value, types.FunctionType):
        return _carried_function(value, others)
    if not isinstance(value, (type, types.ModuleType)) and _refers_to(value, others):
        raise CannotCarry
    return value


def _carried_function(function: types.FunctionType, others: Mapping[int, Any]) -> types.FunctionType:
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *vars(function).values())
    if any(carried(each, others) is not each for each in defaults):
        raise CannotCarry
    cells = function.__closure__ or ()
    contents = [(cell, _content(cell)) for cell in cells]
    closure = tuple(
        cell if content is function or (new := carried(content, others)) is content else types.CellType(new)
        for cell, content in contents
    )
    if closure == cells:
        return function
    if any(content is function for _, content in contents):  # it calls itself
        raise CannotCarry
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, closure
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__dict__.update(vars(function))
    return copy


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is still empty
        return None


def _refers_to(value: Any, others: Mapping[int, Any]) -> bool:
    inside = [*getattr(value, "__dict__", {}).values()]
    if isinstance(value, (list, tuple, set, frozenset)):
        inside += value
    elif isinstance(value, dict):
        inside += value.values()
    return any(id(each) in others or id(getattr(each, "__self__", None)) in others for each in inside)
