"""Find the prose of a file: docstrings, comments, strings, test names, and the text of a Markdown page.

A passage is one piece of prose with the line on which it starts. Its text keeps its newlines, so that the line of a
phrase within it can be counted.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCSTRING, COMMENT, STRING, TEST_NAME, PAGE = "docstring", "comment", "string", "test name", "page"

_DIRECTIVE = re.compile(r"#\s*(?:noqa|type:|mypy:|pyright:|pragma:|fmt:|ruff:|!|DAF\d)[^#]*?(?: - |(?=#)|$)")
_FENCE = re.compile(r"^\s*(```|~~~)")
_NEW_BLOCK = re.compile(r"^\s*([-*+]|\d+\.)\s+|^#+\s|^\||^>\s")
_CODE = re.compile(r"``.+?``|`[^`]*`", re.DOTALL)
_LINK = re.compile(r"\]\([^)\s]*\)|https?://\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One piece of prose. ``line`` counts from 1."""

    kind: str
    line: int
    text: str


def passages(path: Path) -> Iterator[Passage]:
    """Yield the prose of a Python module or a Markdown page."""
    source = path.read_text()
    yield from _page(source) if path.suffix == ".md" else _module(source)


def without_code(text: str) -> str:
    """Replace inline code by one word and drop the targets of links. The text keeps its newlines."""
    return _LINK.sub("]", _CODE.sub(lambda code: "`code`" + "\n" * code[0].count("\n"), text))


def _module(source: str) -> Iterator[Passage]:
    tree = ast.parse(source)
    strings: dict[int, list[tuple[int, int]]] = {}  # by line: the columns in bytes that a string takes
    for node in _nodes(tree):
        if isinstance(node, ast.Expr) and _is_text(node.value):
            yield Passage(kind=DOCSTRING, line=node.lineno, text=node.value.value)
            node.value.value = ""  # it is not a string to be read a second time
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            name = node.name.removeprefix("test_").replace("_", " ")
            yield Passage(kind=TEST_NAME, line=node.lineno, text=name)
        elif isinstance(node, ast.JoinedStr):
            _remember(strings, node)
            yield Passage(kind=STRING, line=node.lineno, text=_joined(node))
        elif _is_text(node):
            _remember(strings, node)
            if " " in node.value:
                yield Passage(kind=STRING, line=node.lineno, text=node.value)
    yield from _comments(source, strings)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield nodes, parents first. It takes half of the time that ``ast.walk`` takes."""
    left = [tree]
    while left:
        node = left.pop()
        yield node
        for value in vars(node).values():
            if type(value) is list:
                left.extend(child for child in value if isinstance(child, ast.AST))
            elif isinstance(value, ast.AST) and not isinstance(value, ast.expr_context):
                left.append(value)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _joined(node: ast.JoinedStr) -> str:
    """Return the text of an f-string, and empty the parts, which are visited later."""
    parts = []
    for part in node.values:
        if _is_text(part):
            parts.append(part.value)
            part.value = ""
        else:
            parts.append("{…}")
    return "".join(parts)


def _remember(strings: dict[int, list[tuple[int, int]]], node: ast.expr) -> None:
    for line in range(node.lineno, node.end_lineno + 1):
        start = node.col_offset if line == node.lineno else 0
        end = node.end_col_offset if line == node.end_lineno else 1_000_000
        strings.setdefault(line, []).append((start, end))


def _comments(source: str, strings: dict[int, list[tuple[int, int]]]) -> Iterator[Passage]:
    """Yield comments. Those that fill adjacent lines are one passage."""
    block: list[str] = []
    start = 0
    for number, line in enumerate(source.splitlines(), 1):
        column = _start_of_comment(line, strings.get(number, ()))
        comment = "" if column is None else _DIRECTIVE.sub("", line[column:])
        own_line = comment and not line[:column].strip()
        if block and not own_line:
            yield Passage(kind=COMMENT, line=start, text="\n".join(block))
            block = []
        if own_line:
            start = start if block else number
            block.append(_text_of(comment))
        elif comment:
            yield Passage(kind=COMMENT, line=number, text=_text_of(comment))
    if block:
        yield Passage(kind=COMMENT, line=start, text="\n".join(block))


def _text_of(comment: str) -> str:
    return comment.lstrip("# ")


def _start_of_comment(line: str, strings: list[tuple[int, int]] | tuple[()]) -> int | None:
    for found in re.finditer("#", line):
        column = len(line[: found.start()].encode())
        if not any(start <= column < end for start, end in strings):
            return found.start()
    return None


def _page(source: str) -> Iterator[Passage]:
    """Yield paragraphs, list items, headings and rows of tables, without the blocks of code."""
    block: list[str] = []
    start, in_code = 1, False
    for number, line in enumerate([*source.splitlines(), ""], 1):
        fence = bool(_FENCE.match(line))
        ends = fence or in_code or not line.strip() or _NEW_BLOCK.match(line)
        if ends and block:
            yield Passage(kind=PAGE, line=start, text="\n".join(block))
            block = []
        in_code ^= fence
        if not (fence or in_code or not line.strip()):
            start = start if block else number
            block.append(_NEW_BLOCK.sub("", line, count=1))
