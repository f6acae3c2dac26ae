"""The names of modules, as values."""

from __future__ import annotations

import ast
import builtins
from dataclasses import replace
from typing import TYPE_CHECKING

from daf_orm.static.inference.frame import Frame
from daf_orm.static.inference.values import (
    UNKNOWN,
    Callable,
    ClassValue,
    Constant,
    External,
    ModuleValue,
    Object,
    Scope,
    Value,
)
from daf_orm.static.project.definitions import Class, Function
from daf_orm.static.project.modules import Imported, Module

if TYPE_CHECKING:
    from daf_orm.static.inference.engine import Engine
    from daf_orm.static.project.project import Found

_BUILTINS = frozenset(dir(builtins))


class Globals:
    """Looks names of modules up; each assignment is evaluated once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._evaluated: dict[ast.expr, Value] = {}
        self._functions: dict[ast.AST, Value] = {}

    def name(self, module: Module, name: str) -> Value:
        """Return the value of a global name."""
        found = self._engine.project.name(module, name)
        if found is not None:
            return self.value(found)
        if name == "__name__":
            return Constant(module.name)
        return External(f"builtins.{name}") if name in _BUILTINS else UNKNOWN

    def attribute(self, module: Module, owner: str, name: str) -> Value:
        """Return what the module named ``owner`` has by a name, as ``module`` imports it."""
        found = self._engine.project.attribute(module, owner, name)
        return UNKNOWN if found is None else self.value(found)

    def imported(self, module: Module, binding: Imported) -> Value:
        """Return what an import in a function binds."""
        found = self._engine.project.imported(module, binding)
        return UNKNOWN if found is None else self.value(found)

    def value(self, found: Found) -> Value:
        """Return a definition as a value."""
        if isinstance(found, str):
            return External(found)
        if isinstance(found, Module):
            return ModuleValue(found.name)
        if isinstance(found, Class):
            return ClassValue(found)
        if isinstance(found, Function):
            return self._function(found)
        return self.evaluated(found.module, found.node)

    def _function(self, function: Function) -> Value:
        if function.node not in self._functions:
            self._functions[function.node] = UNKNOWN  # of one that its own decorator needs
            frame = self.frame(function.module)
            self._functions[function.node] = self._engine.decorated(frame, Callable(function))
        return self._functions[function.node]

    def evaluated(self, module: Module, node: ast.expr) -> Value:
        """Return the value of an expression at the top of a module."""
        if node not in self._evaluated:
            self._evaluated[node] = UNKNOWN  # of one that refers to itself
            value = self._engine.evaluate(self.frame(module), node)
            if isinstance(value, Object) and not value.argument("id") and "signal" in self._engine.objects.kinds(value):
                value = replace(value, arguments=(("id", Constant(f"{module.name}:{node.lineno}:{node.col_offset}")),))
            self._evaluated[node] = value
        return self._evaluated[node]

    def frame(self, module: Module) -> Frame:
        """Return a frame for a module's own expressions, which are run when it is imported."""
        return Frame(self._engine, module, None, Scope(), is_on_loop=False, is_muted=True)
