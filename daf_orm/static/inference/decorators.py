"""Functions with their decorators applied."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.values import (
    UNKNOWN,
    Callable,
    Choice,
    ClassValue,
    External,
    Guarded,
    Hop,
    Unhop,
    Value,
)
from daf_orm.static.names import functions
from daf_orm.static.project.definitions import Function, dotted, last_name

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.project.project import Project

_ATOMIC = "django.db.transaction.atomic"


_PROPERTIES: Final = frozenset({"property", "cached_property"})


def is_property(project: Project, method: Function) -> bool:
    """Return True if reading a method calls it: also ``@alias`` of ``from … import cached_property as alias``."""
    return any(_names_a_property(project, method, decorator) for decorator in method.decorators)


def _names_a_property(project: Project, method: Function, decorator: ast.expr) -> bool:
    if last_name(decorator) in _PROPERTIES:
        return True
    found = project.expression(method.module, decorator) if isinstance(decorator, ast.Name) else None
    return isinstance(found, str) and found.rpartition(".")[2] in _PROPERTIES


def _registered(generic: Callable) -> list[Callable]:
    """Return the functions of a module that are registered for the types of a ``functools.singledispatch``."""
    function = generic.function
    name = f"{function.name}.register"
    return [
        Callable(Function(function.module, node, node.name))
        for node in function.module.tree.body
        if isinstance(node, ast.FunctionDef)
        and any(dotted(each.func if isinstance(each, ast.Call) else each) == name for each in node.decorator_list)
    ]


def decorate(frame: Frame, function: Callable) -> Value:
    """Return the result of a function's decorators; unknown after a decorator that is not known here."""
    value: Value = function
    was_muted, frame.is_muted = frame.is_muted, True  # they are called where the function is defined
    try:
        for decorator in reversed(function.function.decorators):
            value = _decorated(frame, value, decorator, is_async=function.function.is_async)
    finally:
        frame.is_muted = was_muted
    return value


def _decorated(frame: Frame, value: Value, decorator: ast.expr, *, is_async: bool) -> Value:
    if last_name(decorator) in _PROPERTIES:
        return value
    found = frame.evaluate(decorator.func if isinstance(decorator, ast.Call) else decorator)
    if isinstance(found, External):
        if found.path in functions.HOPS:
            return Hop(value)
        if found.path in functions.UNHOPS:
            return Unhop(value)
        if found.path == _ATOMIC and not is_async:
            return Guarded(value)
    if last_name(decorator) == "singledispatch" and isinstance(value, Callable):
        return Choice((value, *_registered(value)))
    if last_name(decorator) in functions.TRANSPARENT:
        return value
    if isinstance(found, ClassValue) and not is_async and frame.engine.project.method(found.cls, "__call__"):
        return UNKNOWN if isinstance(decorator, ast.Call) else frame.call(found, [value], {}, decorator)
    if isinstance(found, Callable):
        made = found if not isinstance(decorator, ast.Call) else frame.evaluate(decorator)
        result = frame.call(made, [value], {}, decorator)
        if isinstance(result, Callable | Hop | Unhop | Guarded):
            return result
    return value if is_async else UNKNOWN
