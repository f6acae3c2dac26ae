"""The source of an expression that blocked, taken apart and put together again as code to paste.

Nothing is unparsed: the result keeps the user's own spelling.
"""

from __future__ import annotations

import ast
import builtins

_TAKES_ITERABLE = frozenset({"join", "extend", "writerows", "fromkeys", "from_iterable"})
"""Methods that are not a queryset's, and evaluate their only argument."""

_PRIMARIES = ast.Name | ast.Attribute | ast.Call | ast.Subscript


class Expression:
    """One expression. If it cannot be parsed, every method returns None, or False for a question."""

    def __init__(self, source: str) -> None:
        self.source = source
        # Columns count bytes.
        self._bytes = f"({source})".encode()
        self.tree = _parse(f"({source})") if source else None

    def awaited(self, method: str, twin: str) -> str | None:
        """Return the expression with ``method``, called in it, replaced by ``await`` and its async twin."""
        call = self._call_of(method)
        if call is None:
            return None
        arguments = self._text(call.func.end_col_offset, call.end_col_offset)
        if isinstance(call.func, ast.Attribute):
            return f"await {self._primary(call.func.value)}.{twin}{arguments}"
        return f"await {twin}{arguments}"

    def hopped(self) -> str | None:
        """Return the expression done in a worker thread."""
        if self.tree is None:
            return None
        if isinstance(self.tree, ast.Call):
            arguments = self._text(self.tree.func.end_col_offset, self.tree.end_col_offset)
            return f"await database_sync_to_async({self._of(self.tree.func)}){arguments}"
        if isinstance(self.tree, ast.Set) and len(self.tree.elts) == 1:  # {x} is what an f-string has of x
            return f"await database_sync_to_async(str)({self._of(self.tree.elts[0])})"
        if self.awaits:  # a lambda cannot
            return None
        return f"await database_sync_to_async(lambda: {self.source})()"

    def listed(self) -> str | None:
        """Return the iteration over the expression, or the iterating expression itself, done in a worker thread."""
        if self.tree is None:
            return None
        if isinstance(self.tree, ast.Call) and _is_builtin(self.tree.func):
            return self.hopped()
        return f"await database_sync_to_async(list)({self.source})"

    def receiver(self, method: str) -> str | None:
        """Return the object of a call of ``method``; for a special method, the operand of the operator or function."""
        call = self._call_of(method)
        if call is not None and isinstance(call.func, ast.Attribute):
            return self._primary(call.func.value)
        node = self.tree and _operand(self.tree, method)
        if isinstance(node, _PRIMARIES | ast.BinOp | ast.Await):
            return self._primary(node)
        return None

    @property
    def awaits(self) -> bool:
        """True if there is an ``await`` in it."""
        return any(isinstance(node, ast.Await) for node in ast.walk(self.tree)) if self.tree else False

    @property
    def membership(self) -> str | None:
        """The operator of ``x in y`` or ``x not in y``."""
        operator = self.tree.ops[0] if isinstance(self.tree, ast.Compare) else None
        if not isinstance(operator, ast.In | ast.NotIn):
            return None
        return "in" if isinstance(operator, ast.In) else "not in"

    @property
    def is_sliced(self) -> bool:
        """True if it is ``x[a:b]``."""
        return isinstance(self.tree, ast.Subscript) and isinstance(self.tree.slice, ast.Slice)

    def item(self) -> str | None:
        """Return ``x`` of ``receiver[x]`` or ``x in receiver``."""
        if isinstance(self.tree, ast.Subscript):
            return self._of(self.tree.slice)
        return self._of(self.tree.left) if isinstance(self.tree, ast.Compare) else None

    def owner_of(self, attribute: str | None) -> str | None:
        """Return the source of ``x`` in ``x.attribute``, ``hasattr(x, "attribute")`` or ``getattr(x, …)``."""
        for node in ast.walk(self.tree) if self.tree else ():
            if isinstance(node, ast.Attribute) and node.attr == attribute:
                return self._primary(node.value)
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"hasattr", "getattr"}
            ):
                return self._primary(node.args[0])
        return None

    def _call_of(self, method: str) -> ast.Call | None:
        for node in ast.walk(self.tree) if self.tree else ():
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
                if name == method:
                    return node
        return None

    def _primary(self, node: ast.expr) -> str:
        """Return the source of a node, in a form that an attribute of it can follow."""
        return self._of(node) if isinstance(node, _PRIMARIES) else f"({self._of(node)})"

    def _of(self, node: ast.expr) -> str:
        return self._text(node.col_offset, node.end_col_offset)

    def _text(self, start: int | None, end: int | None) -> str:
        return self._bytes[start:end].decode()


def _parse(source: str) -> ast.expr | None:
    try:
        return ast.parse(source, mode="eval").body
    except SyntaxError:
        return None


def _operand(tree: ast.expr, method: str) -> ast.expr:
    """Return the operand of the outermost operator or function."""
    match tree:
        case ast.Call():
            return _iterated_argument(tree, method)
        case ast.Subscript(value=operand) if method == "__getitem__":
            return operand
        case (
            ast.Compare(comparators=[operand])
            | ast.UnaryOp(operand=operand)
            | ast.BoolOp(values=[operand, *_])
            | ast.Set(elts=[operand])  # {x} is what an f-string has of x
            | ast.Starred(value=operand)
            | ast.YieldFrom(value=operand)
        ):
            return operand
    return tree


def _iterated_argument(call: ast.Call, method: str) -> ast.expr:
    match call:
        case ast.Call(func=ast.Attribute(attr=name), args=[operand]) if name in _TAKES_ITERABLE:
            return operand
        case ast.Call(func=func, args=[operand]) if _is_builtin(func) or method == "__getstate__":
            return operand
        case ast.Call(func=ast.Name(id="sorted" | "enumerate" | "sum" | "max" | "min"), args=[operand, *_]):
            return operand
        case ast.Call(func=ast.Name(id="map" | "filter"), args=[_, operand]):
            return operand
    return call


def _is_builtin(func: ast.expr) -> bool:
    return isinstance(func, ast.Name) and hasattr(builtins, func.id)
