"""Conditions whose answer is known: of tests for coroutines, and for an event loop."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.values import Callable, Coroutine, Hop
from daf_orm.static.project.definitions import last_name

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame

_COROUTINE_TESTS: Final = frozenset(
    "isawaitable iscoroutine iscoroutinefunction is_async_callable is_coroutine".split()
)
_LOOP_TESTS: Final = re.compile(r"_?(is|in|has|inside)_(\w+_)?(async|event_loop|running_loop)(_context|_mode)?")
"""Names of functions without arguments that test for an event loop: ``in_async_context()``."""


def answer(frame: Frame, test: ast.expr) -> bool | None:
    """Return the answer to ``isawaitable(value)``, ``in_async_context()`` and their like, if it is known."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        found = answer(frame, test.operand)
        return None if found is None else not found
    if not isinstance(test, ast.Call) or test.keywords:
        return None
    name = last_name(test.func)
    if not test.args and frame.is_on_loop and _LOOP_TESTS.fullmatch(name):
        return True
    if name not in _COROUTINE_TESTS or len(test.args) != 1:
        return None
    value = frame.evaluate(test.args[0])
    if isinstance(value, Coroutine | Hop):
        return True
    return value.function.is_async if isinstance(value, Callable) else None
