"""Functions that another function calls: ``map(func, rows)``, ``loop.call_soon(func)``."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from daf_orm.static.inference.values import UNKNOWN, Callable, Choice, External, Method, Object, Partial, Value

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame


def call_given(
    frame: Frame, function: Value, positional: tuple[Value, ...], argument: ast.expr, node: ast.Call
) -> Value:
    """Return what a function returns that is written at ``argument`` and that ``node`` calls.

    A fix of ``node`` would not be one of this call: it has none.
    """
    if isinstance(function, Callable):
        return frame.call(function, positional, {}, node)
    if not isinstance(function, Choice | Partial | Method | Object | External):
        return UNKNOWN
    if isinstance(function, Partial):
        argument = argument.args[0] if isinstance(argument, ast.Call) and argument.args else argument
    given = [argument for _ in positional] if isinstance(function, External) else []
    made = ast.copy_location(ast.Call(func=argument, args=given, keywords=[]), argument)
    was_inner, frame.in_comprehension = frame.in_comprehension, True
    try:
        return frame.call(function, positional, {}, made)
    finally:
        frame.in_comprehension = was_inner
