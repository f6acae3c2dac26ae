"""The functions that following begins with: the coroutine functions of a module, nested ones too."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from daf_orm.static.inference.frame import Frame
from daf_orm.static.inference.values import Callable, ClassValue, Scope, Value
from daf_orm.static.names.functions import ATOMIC
from daf_orm.static.project.definitions import Class, Function, FunctionNode

if TYPE_CHECKING:
    from daf_orm.static.inference.engine import Engine
    from daf_orm.static.project.modules import Module


class Roots:
    """Has an engine follow them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check(self, module: Module) -> None:
        """Follow every coroutine function of a module, wherever it is defined."""
        for definition in module.bindings.values():
            if isinstance(definition, Function) and definition.module is module:
                self._root(definition)
            elif isinstance(definition, Class) and definition.module is module:
                self._roots_of(definition)

    def _roots_of(self, cls: Class) -> None:
        for function in cls.methods.values():
            self._root(function)
        for function in self._inherited(cls):
            self._root(function, cls)
        for inner in cls.inner.values():
            self._roots_of(inner)

    def _inherited(self, cls: Class) -> list[Function]:
        """Return the coroutine functions that a class has from others, which call what it overrides itself."""
        if not cls.methods:
            return []
        found: dict[str, Function] = {}
        for each in self._engine.project.ancestors(cls)[0]:
            for name, method in each.methods.items():
                found.setdefault(name, method)
        return [method for name, method in found.items() if name not in cls.methods and method.is_async]

    def _root(self, function: Function, cls: Class | None = None) -> None:
        if not function.is_async and not has_async(function.node):
            return
        frame = self._engine.globals.frame(function.module)
        owner = self.owner(function, cls)
        frame.is_muted = False
        self._look_at_decorators(frame, function)
        self._engine.follow(frame, Callable(function, owner), (), {}, None)

    def _look_at_decorators(self, frame: Frame, function: Function) -> None:
        """Report Django's ``@transaction.atomic`` on a coroutine function, around which it does nothing."""
        for decorator in function.decorators if function.is_async else []:
            value = frame.evaluate(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if getattr(value, "path", "") in ATOMIC:
                inner = Frame(self._engine, function.module, function, Scope(), is_on_loop=True)
                remedy = "Use daf_orm.transaction.atomic, which takes coroutine functions."
                inner.report("DAF061", decorator, "atomic", "does not hold a transaction around a coroutine", remedy)
                self._engine.collect(inner.findings)

    def owner(self, function: Function, cls: Class | None = None) -> Value | None:
        """Return ``self`` or ``cls`` of a method that is not called from anywhere; ``cls`` is what has inherited it."""
        of = cls or function.cls
        if of is None or "staticmethod" in function.decorator_names:
            return None
        return ClassValue(of) if "classmethod" in function.decorator_names else self._engine.instances.of(of)


def has_async(node: FunctionNode) -> bool:
    """Return True if a function defines coroutine functions."""
    return any(isinstance(each, ast.AsyncFunctionDef) for each in ast.walk(node) if each is not node)
