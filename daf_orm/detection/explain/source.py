"""The source of the expression that an instruction belongs to, as its user wrote it, on one line.

``co_positions`` has it, but in some cases the position depends on the version of Python. It may be that of the loop
instead of the iterable, of a method's name instead of its call, or of the names that are unpacked into. Those positions
are narrowed or widened here.
"""

from __future__ import annotations

import ast
import io
import textwrap
import tokenize
from dis import opname
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType

_ITERATE = frozenset({"FOR_ITER", "TO_BOOL"})
"""Instructions that resume or test a generator expression, where Python 3.14 inlines ``any(… for …)``."""
_UNPACK = frozenset({"UNPACK_SEQUENCE", "UNPACK_EX"})


@lru_cache(maxsize=256)  # a mode that lets calls through sees the same ones again and again
def expression(code: CodeType, instruction: int, lines: tuple[str, ...]) -> str:
    """Return the expression at a byte offset of the code, whose file has these lines; empty if it is not there."""
    position = next(islice(code.co_positions(), instruction // 2, None), (None, None, None, None))
    first, last, start, end = position
    if first is None or last is None or not 0 < first <= last <= len(lines):
        return ""
    if start is None or end is None:  # python -X no_debug_ranges
        return lines[first - 1].strip()
    if opname[code.co_code[instruction]] in _UNPACK:
        return _narrow(lines[first - 1], code)
    if opname[code.co_code[instruction]] in _ITERATE:
        last, end = _end_of_call(lines, first, start, end) or (last, end)
    if lines[first - 1].encode()[:start].rstrip().endswith(b"."):
        first, start = _start(lines, last, end) or (first, start)
    source = [line.encode() for line in lines[first - 1 : last]]  # columns count bytes
    source[-1] = source[-1][:end]
    indent = source[0][:start] if not source[0][:start].strip() else b""
    source[0] = indent + source[0][start:]
    return _on_one_line(_narrow(b"".join(source).decode(errors="replace"), code))


def _narrow(source: str, code: CodeType) -> str:
    """Return the operand of a statement or a comprehension; any other expression unchanged."""
    source = textwrap.dedent(source).strip()
    try:
        (statement,) = ast.parse(source).body
    except (SyntaxError, ValueError):  # the head of a loop, or an assignment over several lines
        return source
    narrowed = _worked_on(statement)
    if isinstance(narrowed, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        # Its first iterable is evaluated outside it.
        narrowed = narrowed.generators[-1 if code.co_name.startswith("<") else 0].iter
    return (narrowed is not None and ast.get_source_segment(source, narrowed)) or source


def _worked_on(statement: ast.stmt) -> ast.expr | None:
    match statement:
        case ast.For(iter=worked_on) | ast.If(test=worked_on) | ast.While(test=worked_on) | ast.Assert(test=worked_on):
            return worked_on
        case ast.With(items=[ast.withitem(context_expr=worked_on), *_]):
            return worked_on
        case ast.Assign(value=worked_on) | ast.Expr(value=worked_on):
            return worked_on
    return None


def _start(lines: Sequence[str], last: int, end: int) -> tuple[int, int] | None:
    """Return the start of the call, or the attribute, that ends there, where the code's position is its name's alone.

    That is the case if the name is on another line than the object.
    """
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):  # a cell of a notebook with magic in it
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Call | ast.Attribute) and (node.end_lineno, node.end_col_offset) == (last, end):
            return node.lineno, node.col_offset
    return None


def _end_of_call(lines: Sequence[str], line: int, start: int, end: int) -> tuple[int, int] | None:
    """Return the end of the call of the function there, if its only argument is a generator expression.

    Python 3.14 inlines the loop of ``all()``, ``any()`` and ``tuple()``, at the position of the name alone.
    """
    if not lines[line - 1].encode()[start:end].decode(errors="replace").isidentifier():
        return None
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(lineno=at, col_offset=column), args=[ast.GeneratorExp()], keywords=[]):
                if (at, column) == (line, start) and node.end_lineno and node.end_col_offset:
                    return node.end_lineno, node.end_col_offset
    return None


def _on_one_line(source: str) -> str:
    """Join the lines of an expression as if it fitted on one, without its comments."""
    joined = ""
    for part in _without_comments(source) if "\n" in source else [source]:
        if part.startswith((")", "]", "}")):
            joined = joined.removesuffix(",")
        glued = not joined or joined.endswith(("(", "[", "{")) or part.startswith((".", ")", "]", "}"))
        joined += part if glued or not part else f" {part}"
    return joined


def _without_comments(source: str) -> list[str]:
    lines = source.splitlines()
    try:
        for token in tokenize.generate_tokens(io.StringIO(source + "\n").readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][:column]
    except (tokenize.TokenError, SyntaxError):  # it begins or ends amid brackets
        pass
    return [line.strip() for line in lines]
