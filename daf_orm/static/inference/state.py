"""Rows that one method of a class leaves in ``self`` for another: where all of the class agrees on what they have."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.values import NONE, Row, Rows, Value, join
from daf_orm.static.names.functions import HOPS, THREAD_METHODS, THREADS
from daf_orm.static.project.definitions import Class, dotted, last_name, own_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from daf_orm.static.inference.engine import Engine
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.project.definitions import Function
    from daf_orm.static.project.models import Model
    from daf_orm.static.project.modules import Module

_HOPS: Final = frozenset({*(path.rpartition(".")[2] for path in (*HOPS, *THREADS)), *THREAD_METHODS})
_LOADERS: Final = frozenset("afetch_related aprefetch_related_objects prefetch_related_objects".split())
_SET_OUTSIDE: Final = re.compile(r"(?<!\bself)\.(\w+)\s*=[^=]")
_DEPTH: Final = 3
"""Variables that a value is made of, and those that these are made of."""


def kept(engine: Engine, cls: Class, name: str, values: Iterable[Value]) -> Row | None:
    """Return the row that an attribute of ``self`` holds; None if that, or what it has loaded, is not certain.

    ``values`` are assigned to it. They have to be rows of one model, each with its loading seen. A relation that a
    method may load later counts as loaded.
    """
    rows = [value for value in values if value != NONE]
    if not rows or not all(isinstance(value, Row) and value.loaded.is_known for value in rows):
        return None
    row = rows[0]
    for other in rows[1:]:
        row = join(row, other)
    methods = list(_methods(engine, cls))
    if not isinstance(row, Row) or _is_bound_otherwise(methods, name) or is_set_outside(engine, name):
        return None
    if name in _touched_in_threads(methods):
        return None
    loaded = {each for method in methods for each in _loaded_later(method, name, row.model)}
    return Row(row.model, via=row.via, loaded=replace(row.loaded, joined=row.loaded.joined | loaded))


def kept_rows(engine: Engine, cls: Class, name: str, rows: Rows) -> Rows | None:
    """Return the queryset that an attribute of ``self`` holds; None if it may be evaluated when it is read."""
    methods = list(_methods(engine, cls))
    if _is_bound_otherwise(methods, name) or is_set_outside(engine, name) or name in _touched_in_threads(methods):
        return None
    is_evaluated = any(
        _is_self(each, name)
        for method in methods
        for node in ast.walk(method.node)
        if (iterated := _iterated(node)) is not None
        for each in ast.walk(iterated)
    )
    return None if is_evaluated else rows


def _iterated(node: ast.AST) -> ast.expr | None:
    """Return what is evaluated without blocking: by ``async for``, or by ``alist()``."""
    if isinstance(node, ast.AsyncFor) or (isinstance(node, ast.comprehension) and node.is_async):
        return node.iter
    return node.func if isinstance(node, ast.Call) and last_name(node.func) == "alist" else None


def bind_locals(frame: Frame, method: Function, node: ast.expr, depth: int = _DEPTH) -> None:
    """Bind the variables that an expression of a method is made of, where each is assigned once."""
    for name in {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}:
        if depth and frame.scope.find(name) is None:
            assigned = [each for each in own_nodes(method.node) if isinstance(each, ast.Assign) and _binds(each, name)]
            if len(assigned) == 1:
                bind_locals(frame, method, assigned[0].value, depth - 1)
                frame.scope.values[name] = frame.evaluate(assigned[0].value)


def _binds(node: ast.Assign, name: str) -> bool:
    return any(isinstance(target, ast.Name) and target.id == name for target in node.targets)


def _methods(engine: Engine, cls: Class) -> Iterator[Function]:
    for each in engine.project.ancestors(cls)[0]:
        yield from each.methods.values()


def _is_self(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == name and dotted(node.value) == "self"


def _is_bound_otherwise(methods: list[Function], name: str) -> bool:
    """Return True if a loop, a block, an unpacking or a function inside a method binds the attribute."""
    for method in methods:
        plain = {
            id(target)
            for node in own_nodes(method.node)
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        }
        for node in ast.walk(method.node):
            if _is_self(node, name) and not isinstance(getattr(node, "ctx", None), ast.Load) and id(node) not in plain:
                return True
    return False


def is_set_outside(engine: Engine, name: str) -> bool:
    """Return True if a module assigns to an attribute of that name of anything but ``self``."""
    return name in engine.set_outside


def attributes_set_outside(modules: Iterable[Module]) -> frozenset[str]:
    """Return the attributes that modules assign to of anything but ``self``."""
    return frozenset(
        name for module in modules if "async " in module.mentions for name in _SET_OUTSIDE.findall(module.text)
    )


def _touched_in_threads(methods: list[Function]) -> frozenset[str]:
    """Return the attributes of ``self`` that functions in threads may load relations of."""
    read = {method.name: _attributes(method.node) for method in methods}
    pending = [name for method in methods if _HOPS & set(method.decorator_names) for name in read[method.name]]
    for method in methods:
        for node in ast.walk(method.node):
            if isinstance(node, ast.Call) and _HOPS & {last_name(node.func), *_names_called(node)}:
                pending += _attributes(node)
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += read.get(name, ())
    return frozenset(found)


def _names_called(node: ast.Call) -> Iterator[str]:
    """Yield the name of ``sync_to_async(func)`` in ``sync_to_async(func)(self.book)``."""
    if isinstance(node.func, ast.Call):
        yield last_name(node.func.func)


def _attributes(node: ast.AST) -> set[str]:
    return {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute) and dotted(each.value) == "self"}


def _loaded_later(method: Function, name: str, model: Model) -> Iterator[str]:
    """Yield the relations that a method sets, fetches, or loads right where it assigns the row."""
    nodes = list(ast.walk(method.node))
    assigns = any(_is_self(node, name) and isinstance(getattr(node, "ctx", None), ast.Store) for node in nodes)
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in model.relations and _is_self(node.value, name):
            if assigns or isinstance(node.ctx, ast.Store):
                yield node.attr
        elif isinstance(node, ast.Call) and last_name(node.func) in _LOADERS:
            for each in ast.walk(node):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    parts = each.value.split("__")
                    yield from ("__".join(parts[:count]) for count in range(1, len(parts) + 1))
