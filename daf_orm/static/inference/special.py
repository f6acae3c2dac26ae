"""Methods that Python calls for an operator: ``__eq__``, ``__hash__``, ``__contains__``."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from daf_orm.static.inference.values import UNKNOWN, Callable, ClassValue, Items, Object, Row, Value
from daf_orm.static.project.definitions import Class

if TYPE_CHECKING:
    from daf_orm.static.inference.frame import Frame
    from daf_orm.static.project.project import Project

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[str, str]]] = {
    ast.Eq: ("__eq__", "__eq__"),
    ast.NotEq: ("__ne__", "__ne__"),
    ast.Lt: ("__lt__", "__gt__"),
    ast.Gt: ("__gt__", "__lt__"),
    ast.LtE: ("__le__", "__ge__"),
    ast.GtE: ("__ge__", "__le__"),
}
"""The method of the left operand, and that of the right one, which is asked if the left has none."""


_OPERATIONS: Final[dict[type[ast.operator], str]] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.MatMult: "matmul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.BitAnd: "and",
}
UNARY: Final[dict[type[ast.unaryop], tuple[str, ...]]] = {
    ast.USub: ("__neg__",),
    ast.UAdd: ("__pos__",),
    ast.Invert: ("__invert__",),
}


def special(
    frame: Frame, value: Value, names: tuple[str, ...], shown: ast.expr, arguments: tuple[Value, ...] = ()
) -> Value | None:
    """Follow the first of these methods that the class of a value has; return None if it defines none of them."""
    cls = class_behind(frame.engine.project, value)
    if cls is None:
        return None
    for name in names:
        method = frame.engine.project.method(cls, name)
        if method is not None:
            return frame.engine.follow(frame, Callable(method, value), arguments, {}, shown)
    return None


def class_behind(project: Project, value: Value) -> Class | None:
    """Return the class of the project that a row or an object is an instance of; of a class its metaclass."""
    if isinstance(value, Row):
        return value.model.cls
    if isinstance(value, ClassValue):
        return project.metaclass(value.cls)
    return value.of if isinstance(value, Object) and isinstance(value.of, Class) else None


def compare(frame: Frame, operator: ast.cmpop, left: Value, right: Value, node: ast.expr) -> None:
    """Follow what compares two values."""
    of_left, of_right = _COMPARISONS.get(type(operator), ("", ""))
    if not of_left:
        return
    names = (of_left, "__eq__") if of_left == "__ne__" else (of_left,)
    if special(frame, left, names, node, (right,)) is None:
        special(frame, right, (of_right, "__eq__") if of_right == "__ne__" else (of_right,), node, (left,))


def operate(
    frame: Frame, operator: ast.operator, left: Value, right: Value, node: ast.expr, *, is_in_place: bool = False
) -> Value:
    """Follow what computes ``left + right``, or ``left += right``; return the result."""
    name = _OPERATIONS[type(operator)]
    names = (f"__i{name}__", f"__{name}__") if is_in_place else (f"__{name}__",)
    found = special(frame, left, names, node, (right,))
    if found is None:
        found = special(frame, right, (f"__r{name}__",), node, (left,))
    return UNKNOWN if found is None else found


def search(frame: Frame, value: Value, items: Value, node: ast.expr) -> None:
    """Follow what looks for a value among items in memory."""
    if isinstance(items, Items):
        item = items.item if items.each is None else (items.each or (items.item,))[0]
        if special(frame, value, ("__eq__",), node, (item,)) is None:
            special(frame, item, ("__eq__",), node, (value,))


def take_hash(frame: Frame, value: Value, node: ast.expr) -> None:
    """Follow what makes the hash of a value: of an item of a set, or a key."""
    special(frame, value, ("__hash__",), node)
