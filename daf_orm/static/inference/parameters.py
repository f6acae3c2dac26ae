"""The values of a function's parameters when it is followed."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.objects import REQUEST
from daf_orm.static.inference.values import UNKNOWN, Callable, Constant, Items, Mapping, Object, Value
from daf_orm.static.project.modules import Imported

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.project.modules import Module

_DJANGOS: Final = ("django.", "daf_views")
_OTHERS: Final = frozenset(
    """ninja ninja_extra django_bolt fastapi starlette rest_framework adrf litestar sanic aiohttp quart
    strawberry""".split()
)


def bind_parameters(frame: Frame, function: Callable, positional: tuple[Value, ...], named: dict[str, Value]) -> None:
    """Bind the parameters: to what is passed, or to what their annotations say."""
    definition = function.function
    arguments = definition.node.args
    parameters = [*arguments.posonlyargs, *arguments.args]
    given = positional if function.owner is None else (function.owner, *positional)
    defaults = _defaults(arguments)
    for index, parameter in enumerate([*parameters, *arguments.kwonlyargs]):
        is_given = index < min(len(given), len(parameters))
        value = given[index] if is_given else named.get(parameter.arg, UNKNOWN)
        if value == UNKNOWN:
            value = _declared(frame, parameter, bool(positional or named), defaults)
        frame.scope.values[parameter.arg] = value
    if arguments.vararg is not None:
        rest = given[len(parameters) :]
        frame.scope.values[arguments.vararg.arg] = Items(each=rest) if rest else Items()
    if arguments.kwarg is not None:
        names = {parameter.arg for parameter in [*parameters, *arguments.kwonlyargs]}
        entries = tuple((name, value) for name, value in named.items() if name not in names)
        frame.scope.values[arguments.kwarg.arg] = Mapping(entries=entries)


def _defaults(arguments: ast.arguments) -> dict[str, ast.expr]:
    parameters = [*arguments.posonlyargs, *arguments.args]
    behind = parameters[len(parameters) - len(arguments.defaults) :]
    found = {parameter.arg: default for parameter, default in zip(behind, arguments.defaults, strict=True)}
    for parameter, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            found[parameter.arg] = default
    return found


def _declared(frame: Frame, parameter: ast.arg, is_called: bool, defaults: dict[str, ast.expr]) -> Value:  # noqa: FBT001
    said = frame.engine.annotations.value(frame.module, parameter.annotation, frame.cls)
    if said != UNKNOWN:
        return said
    default = defaults.get(parameter.arg)
    if is_called and isinstance(default, ast.Constant):
        return Constant(default.value)
    if parameter.annotation is None and parameter.arg == "request" and _is_of_django(frame):
        return Object(REQUEST)
    return UNKNOWN


def _is_of_django(frame: Frame) -> bool:
    """Return True if requests in a module or view are Django's: those of other frameworks have other users."""
    module: Module = frame.module
    if frame.cls is not None and "view" in frame.engine.project_kinds(frame.cls):
        return True
    imported = [binding.module for binding in module.bindings.values() if isinstance(binding, Imported)]
    return any(name.startswith(_DJANGOS) or name.endswith("models") for name in imported) and not any(
        name.partition(".")[0] in _OTHERS for name in imported
    )
