"""The source of nodes, and where they stand."""

from __future__ import annotations

import ast
import io
import tokenize


def source_of(lines: list[str], node: ast.expr | ast.stmt) -> str:
    """Return the source of a node on one line, as one would write it if it fitted on one; the guard does so, too."""
    last = node.end_lineno or node.lineno
    part = [line.encode() for line in lines[node.lineno - 1 : last]]  # columns count bytes
    part[-1] = part[-1][: node.end_col_offset]
    part[0] = part[0][node.col_offset :]
    text = b"".join(part).decode(errors="replace")
    return text if last == node.lineno else _on_one_line(text)


def _on_one_line(text: str) -> str:
    joined = ""
    for part in _without_comments(text):
        if part.startswith((")", "]", "}")):
            joined = joined.removesuffix(",")
        glued = not joined or joined.endswith(("(", "[", "{")) or part.startswith((".", ")", "]", "}"))
        joined += part if glued or not part else f" {part}"
    return joined


def _without_comments(text: str) -> list[str]:
    lines = text.splitlines()
    try:
        for token in tokenize.generate_tokens(io.StringIO(f"({text})\n").readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][: column - (row == 1)]
    except (tokenize.TokenError, SyntaxError):
        pass
    return [line.strip() for line in lines]


def line_of(node: ast.expr | ast.stmt) -> int:
    """Return the line that a traceback has: of a method's call that of its name."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.end_lineno or node.lineno
    if isinstance(node, ast.Attribute):
        return node.end_lineno or node.lineno
    return node.lineno


def position_of(node: ast.expr | ast.stmt, lines: list[str]) -> tuple[int, int]:
    """Return the line that a traceback has, and the column, from 1, at which the expression begins there."""
    line = line_of(node)
    if line == node.lineno:
        return line, characters(lines, line, node.col_offset) + 1
    attribute = node.func if isinstance(node, ast.Call) else node
    assert isinstance(attribute, ast.Attribute)
    return line, characters(lines, line, (attribute.end_col_offset or 0) - len(attribute.attr.encode())) + 1


def characters(lines: list[str], line: int, column: int) -> int:
    """Return a column in characters of one in bytes."""
    return len(lines[line - 1].encode()[:column].decode(errors="replace"))
