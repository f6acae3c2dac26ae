"""Repeated reads of a queryset: a later answer has to agree with the first."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from daf_orm.static.project.definitions import Function


def is_used_again(function: Function | None, node: ast.expr) -> bool:
    """Return True if what an expression names is read elsewhere: later, in a loop, or by another name.

    A method that is called on it before does not count: it makes another queryset.
    """
    if not isinstance(node, ast.Name):
        return isinstance(node, ast.Attribute)
    if function is None:
        return True
    nodes = list(ast.walk(function.node))
    named = [each for each in nodes if isinstance(each, ast.Name) and each.id == node.id and each is not node]
    if not any(isinstance(each.ctx, ast.Store) for each in named):
        return True  # a parameter, or a variable around the function: its other readers are not seen
    receivers = {id(each.value) for each in nodes if isinstance(each, ast.Attribute)}
    is_in_loop = any(_repeats(each) and any(inner is node for inner in ast.walk(each)) for each in nodes)
    return any(
        isinstance(each.ctx, ast.Load) and (is_in_loop or _place(each) > _place(node) or id(each) not in receivers)
        for each in named
    )


def _repeats(node: ast.AST) -> bool:
    return isinstance(node, ast.For | ast.AsyncFor | ast.While)


def _place(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset
