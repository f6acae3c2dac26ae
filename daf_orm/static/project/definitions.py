"""Functions and classes as their source declares them. Each is one object: they are compared by identity."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daf_orm.static.project.modules import Module

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class Function:
    """A function, method or lambda."""

    def __init__(self, module: Module, node: FunctionNode, qualname: str, cls: Class | None = None) -> None:
        self.module = module
        self.node = node
        self.qualname = qualname
        self.cls = cls

    def __repr__(self) -> str:
        return f"<Function {self.module.name}.{self.qualname}>"

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.qualname.rpartition(".")[2]

    @property
    def is_async(self) -> bool:
        """Return True if calling it returns a coroutine or an asynchronous generator."""
        return isinstance(self.node, ast.AsyncFunctionDef)

    @cached_property
    def is_generator(self) -> bool:
        """Return True if it yields."""
        return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own_nodes(self.node))

    @property
    def decorators(self) -> list[ast.expr]:
        """The decorator expressions, outermost first."""
        return [] if isinstance(self.node, ast.Lambda) else self.node.decorator_list

    @property
    def decorator_names(self) -> list[str]:
        """The last names of the decorators: ``property``, ``atomic``."""
        return [last_name(decorator) for decorator in self.decorators]


class Class:
    """A class."""

    def __init__(self, module: Module, node: ast.ClassDef, qualname: str) -> None:
        self.module = module
        self.node = node
        self.qualname = qualname

    def __repr__(self) -> str:
        return f"<Class {self.module.name}.{self.qualname}>"

    @property
    def name(self) -> str:
        """The class's own name."""
        return self.node.name

    @cached_property
    def methods(self) -> dict[str, Function]:
        """The functions of its body; of a property the getter."""
        found: dict[str, Function] = {}
        for node in flat(self.node.body):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                function = Function(self.module, node, f"{self.qualname}.{node.name}", self)
                if not {"setter", "deleter", "overload"} & set(function.decorator_names):
                    found[node.name] = function
        return found

    @cached_property
    def setters(self) -> dict[str, Function]:
        """The functions of its body that set a property."""
        return {
            node.name: Function(self.module, node, f"{self.qualname}.{node.name}", self)
            for node in flat(self.node.body)
            if isinstance(node, ast.FunctionDef) and "setter" in map(last_name, node.decorator_list)
        }

    @cached_property
    def attributes(self) -> dict[str, ast.expr]:
        """The values assigned in its body."""
        found: dict[str, ast.expr] = {}
        for node in flat(self.node.body):
            if isinstance(node, ast.Assign):
                found |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
                found[node.target.id] = node.value
        return found

    @cached_property
    def assigned_to_self(self) -> dict[str, list[tuple[Function, ast.Assign | ast.AnnAssign]]]:
        """The assignments of its methods to each attribute of ``self``, with the method."""
        found: dict[str, list[tuple[Function, ast.Assign | ast.AnnAssign]]] = {}
        for method in self.methods.values():
            for node in own_nodes(method.node):
                if isinstance(node, ast.Assign | ast.AnnAssign):
                    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                        name = dotted(target) or ""
                        if name.startswith("self.") and name.count(".") == 1:
                            found.setdefault(name.removeprefix("self."), []).append((method, node))
        return found

    @cached_property
    def annotations(self) -> dict[str, ast.expr]:
        """The annotations in its body."""
        return {
            node.target.id: node.annotation
            for node in flat(self.node.body)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }

    @cached_property
    def inner(self) -> dict[str, Class]:
        """The classes of its body: ``Meta``."""
        return {
            node.name: Class(self.module, node, f"{self.qualname}.{node.name}")
            for node in flat(self.node.body)
            if isinstance(node, ast.ClassDef)
        }


def flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a body, and those of its ``if``, ``try`` and ``with`` blocks."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.For | ast.While):
            yield from flat(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            handled = [statement for handler in node.handlers for statement in handler.body]
            yield from flat(node.body + handled + node.orelse + node.finalbody)
        elif isinstance(node, ast.With):
            yield from flat(node.body)


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below one, without those of functions and classes inside it."""
    pending = list(ast.iter_child_nodes(function))
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, _SCOPES):
            pending.extend(ast.iter_child_nodes(node))


def last_name(node: ast.expr) -> str:
    """Return ``c`` of ``a.b.c`` and of ``a.b.c(…)``; empty of anything else."""
    if isinstance(node, ast.Call | ast.Subscript):
        return last_name(node.func if isinstance(node, ast.Call) else node.value)
    return str(getattr(node, "attr", None) or getattr(node, "id", ""))


def dotted(node: ast.expr) -> str | None:
    """Return the text of ``a.b.c``; None of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return None if owner is None else f"{owner}.{node.attr}"
    return None
