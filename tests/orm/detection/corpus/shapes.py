"""A shape: a few lines of real code, and what a detector must say about them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.orm.detection.corpus.shelf import Shelf

Body = Callable[[Shelf], Awaitable[Any]]

MARK = "# blocks"
"""Ends the line that a detector must name."""


@dataclass(kw_only=True)
class Shape:
    """Code that blocks an event loop, or only looks so; ``operation`` and the rest are None for the latter."""

    body: Body
    operation: str | None = None
    model: str | None = None
    field: str | None = None
    expression: str = ""
    suggestion: str = ""
    """A part of what must be suggested."""
    template: str | None = None
    sql: str = ""
    """A part of the statement; empty where the shape does not say."""
    swallowed: bool = False
    """True if the error never comes out of the code."""
    cold: bool = False
    """True if it blocks only because no connection is open, as one to in-memory SQLite always is."""
    vendor: str | None = None
    """The only database that has the shape."""
    line_in: Callable[..., Any] | None = None
    """The function that has the marked line, if it is not the body."""

    @cached_property
    def group(self) -> str:
        return self.body.__module__.rpartition(".")[2]

    @cached_property
    def name(self) -> str:
        return f"{self.group}-{self.body.__name__}"

    @cached_property
    def place(self) -> tuple[str, int]:
        """The file and line that carry the mark: in the body, or in ``line_in``."""
        marked = self.line_in or self.body
        lines, first = inspect.getsourcelines(marked)
        (number,) = (first + i for i, line in enumerate(lines) if line.rstrip().endswith(MARK))
        return inspect.getsourcefile(marked), number


BLOCKING: list[Shape] = []
HARMLESS: list[Shape] = []


def blocks(operation: str, **expected: Any) -> Callable[[Body], Body]:
    """Register code that blocks."""

    def register(body: Body) -> Body:
        BLOCKING.append(Shape(body=body, operation=operation, **expected))
        return body

    return register


def harmless(body: Body) -> Body:
    """Register code that a detector must leave alone."""
    HARMLESS.append(Shape(body=body))
    return body
