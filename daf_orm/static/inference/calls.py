"""Calls: which kind of function is called, and what is passed on to it."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from daf_orm.static.inference import consume, externals, methods
from daf_orm.static.inference.loaded import EVERYTHING, Loaded
from daf_orm.static.inference.made import called, typed_dictionary
from daf_orm.static.inference.objects import hopped, warm
from daf_orm.static.inference.special import special
from daf_orm.static.inference.values import (
    UNKNOWN,
    Callable,
    Choice,
    ClassValue,
    Coroutine,
    External,
    Guarded,
    Hop,
    Manager,
    Method,
    Object,
    Partial,
    Row,
    Rows,
    Unhop,
    Value,
    any_of,
)
from daf_orm.static.names.functions import CALLBACKS, THREAD_METHODS

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame

Positional = tuple[Value, ...]
Named = dict[str, Value]


def call(frame: Frame, function: Value, positional: Positional, named: Named, node: ast.expr) -> Value:
    """Return what calling a value returns."""
    if isinstance(function, Callable):
        return frame.engine.run(frame, function, positional, named, node)
    if isinstance(function, Choice):
        chosen = _awaitable(function) if frame.engine.is_awaited(node) else function.values
        return any_of([call(frame, each, positional, named, node) for each in chosen])
    if isinstance(function, Partial):
        return call(frame, function.function, function.positional + positional, dict(function.named) | named, node)
    if isinstance(function, ClassValue):
        return _instance(frame, function, positional, named, node)
    if isinstance(function, Hop):
        return _hopped(frame, function, positional, named, node)
    if isinstance(function, Unhop):
        result = call(frame, function.function, positional, named, node)
        return result.result if isinstance(result, Coroutine) else UNKNOWN
    if isinstance(function, Guarded):
        return _guarded(frame, function, positional, named, node)
    if not isinstance(node, ast.Call):
        return UNKNOWN
    if isinstance(function, External):
        return externals.call(frame, function, (positional, named), node)
    if isinstance(function, Method):
        is_rows = isinstance(function.owner, Row | Rows | Manager)
        if not is_rows and function.name in CALLBACKS | THREAD_METHODS:
            return externals.deferred(frame, function.name, (positional, named), node)
        return methods.call(frame, function, (positional, named), node)
    if isinstance(function, Object):
        return _called_object(frame, function, positional, named, node)
    if isinstance(function, Row):
        return special(frame, function, ("__call__",), node, positional) or UNKNOWN
    if isinstance(node.func, ast.Attribute) and node.func.attr in CALLBACKS | THREAD_METHODS:
        return externals.deferred(frame, node.func.attr, (positional, named), node)
    consume.remember_asked(frame, node)
    return UNKNOWN


def _awaitable(choice: Choice) -> list[Value]:
    """Return the values whose call can be awaited; all, if it is not seen that any can."""
    made = [each for each in choice.values if not isinstance(each, Callable) or each.function.is_async]
    return made or list(choice.values)


def _hopped(frame: Frame, hop: Hop, positional: Positional, named: Named, node: ast.expr) -> Value:
    """Follow a function in a thread: nothing of it is on the loop, but what it returns and loads is known."""
    on_loop, frame.is_on_loop = frame.is_on_loop, False
    try:
        result = call(frame, hop.function, positional, named, node)
    finally:
        frame.is_on_loop = on_loop
    _warm(frame, hop.function, node)
    return result if isinstance(result, Coroutine) else Coroutine(result)


def _warm(frame: Frame, function: Value, node: ast.expr) -> None:
    """Take note of a content type that a hop has looked up."""
    if isinstance(function, Method) and function.name == "get_for_model" and isinstance(node, ast.Call):
        key = f"<content type of {', '.join(frame.text(each) for each in node.args)}>"
        frame.scope.values[key] = UNKNOWN
    if not isinstance(function, Method) or function.node is None:
        return
    if function.name == "is_valid" and isinstance(function.owner, Object):
        frame.refine(function.node, warm(function.owner, "validated"))


def _guarded(frame: Frame, guarded: Guarded, positional: Positional, named: Named, node: ast.expr) -> Value:
    """Report Django's ``atomic`` around a synchronous function, but not its body: one hop moves both."""
    inner = guarded.function
    if isinstance(inner, Callable) and inner.function.is_async:
        return call(frame, inner, positional, named, node)
    remedy = "Call the function in one hop: await database_sync_to_async(func)(…)."
    if isinstance(node, ast.Call):
        remedy = hopped(frame, node)
    frame.report("DAF061", node, "atomic", "opens a transaction", remedy)
    on_loop, frame.is_on_loop = frame.is_on_loop, False
    try:
        return call(frame, inner, positional, named, node)
    finally:
        frame.is_on_loop = on_loop


def _instance(frame: Frame, function: ClassValue, positional: Positional, named: Named, node: ast.expr) -> Value:
    engine, cls = frame.engine, function.cls
    if engine.models.is_model(cls):
        model = engine.models.of(cls)
        if any(relation.kind == "generic" for name, relation in model.relations.items() if name in named):
            remedy = hopped(frame, node) if isinstance(node, ast.Call) else ""
            frame.report("DAF053", node, "Model.__init__", "looks a content type up", remedy)
        return Row(model, Loaded(frozenset({EVERYTHING})))
    if "session" in engine.project_kinds(cls):
        return Object("django.contrib.sessions.backends.base.SessionBase")
    if any(path.endswith(".TypedDict") for path in engine.project.ancestors(cls)[1]):
        return typed_dictionary(positional, named)
    arguments = externals.packed((positional, named))
    return engine.instances.construct(frame, Object(cls, arguments), positional, named, node)


def _called_object(frame: Frame, owner: Object, positional: Positional, named: Named, node: ast.expr) -> Value:
    if isinstance(owner.of, str):
        return called(frame, owner, positional, named, node)
    method = frame.engine.project.method(owner.of, "__call__")
    return UNKNOWN if method is None else call(frame, Callable(method, owner), positional, named, node)


def arguments_of(frame: Frame, node: ast.Call) -> tuple[list[Value], Named]:
    """Evaluate the arguments of a call."""
    positional: list[Value] = []
    for argument in node.args:
        if isinstance(argument, ast.Starred):
            value = consume.rows_from(frame, frame.evaluate(argument.value))
            consume.iterate(frame, value, argument.value, argument, "argument")
            each = getattr(value, "each", None)
            positional += each if each is not None else [UNKNOWN]
        else:
            positional.append(frame.evaluate(argument))
    named: Named = {}
    for keyword in node.keywords:
        value = frame.evaluate(keyword.value)
        if keyword.arg is not None:
            named[keyword.arg] = value
    return positional, named
