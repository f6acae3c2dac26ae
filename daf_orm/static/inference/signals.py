"""Receivers of signals that the project defines."""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TYPE_CHECKING

from daf_orm.static.inference.values import Callable, Object, Value
from daf_orm.static.project.definitions import Function, last_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_orm.static.inference.engine import Engine
    from daf_orm.static.project.modules import Module


class Signals:
    """The functions that receive a signal: by ``@receiver(signal)`` or ``signal.connect(function)``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def receivers(self, signal: Object) -> list[Value]:
        """Return the receivers of a signal."""
        name = signal.argument("id")
        return [receiver for key, receiver in self._receivers if key == name and name is not None]

    @cached_property
    def _receivers(self) -> list[tuple[Value | None, Value]]:
        found: list[tuple[Value | None, Value]] = []
        for module in self._engine.project.modules:
            if {"@receiver", ".connect("} & module.mentions:
                found += self._decorated(module)
                found += self._connected(module)
        return found

    def _decorated(self, module: Module) -> Iterator[tuple[Value | None, Value]]:
        for function in module.bindings.values():
            if not isinstance(function, Function) or function.is_async:
                continue
            for decorator in function.decorators:
                if isinstance(decorator, ast.Call) and last_name(decorator) == "receiver" and decorator.args:
                    yield from self._of(module, decorator.args[0], Callable(function))

    def _connected(self, module: Module) -> Iterator[tuple[Value | None, Value]]:
        for node in ast.walk(module.tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "connect"
                and node.args
                and isinstance(node.func.value, ast.Name | ast.Attribute)
            ):
                receiver = self._engine.globals.evaluated(module, node.args[0])
                if isinstance(receiver, Callable) and not receiver.function.is_async:
                    yield from self._of(module, node.func.value, receiver)

    def _of(self, module: Module, signals: ast.expr, receiver: Value) -> Iterator[tuple[Value | None, Value]]:
        for node in signals.elts if isinstance(signals, ast.List | ast.Tuple) else [signals]:
            signal = self._engine.globals.evaluated(module, node)
            if isinstance(signal, Object) and signal.argument("id") is not None:
                yield signal.argument("id"), receiver
