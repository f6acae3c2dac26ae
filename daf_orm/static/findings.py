"""A finding: a call that blocks the event loop, where it stands, and how it is reached."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A place on the way to a finding: the function, and the line in it that goes on."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fix:
    """A rewrite of the node at a position of the source."""

    kind: str
    line: int
    """Of the node to rewrite, from 1."""
    column: int
    """Of the node to rewrite, in characters, from 0."""
    end_line: int
    end_column: int
    argument: str = ""
    is_safe: bool = True
    file: str = ""
    """Of the node to rewrite, if that is not the finding's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding. ``module``, ``function``, ``expression`` and ``operation`` are what a baseline knows it by."""

    file: str
    line: int
    column: int
    """In characters, from 1."""
    code: str
    message: str
    path: tuple[Step, ...] = ()
    """From the nearest ``async def`` inwards; the last step is the finding's own place."""
    module: str = ""
    function: str = ""
    expression: str = ""
    operation: str = ""
    fix: Fix | None = None
    end_line: int = 0
    """Last line of the expression, on which a ``noqa`` may stand as well."""

    @property
    def key(self) -> tuple[str, int, int, str]:
        """The identity of a finding, however it is reached; findings sort by it."""
        return self.file, self.line, self.column, self.code

    def as_dict(self) -> dict[str, Any]:
        """Return what the JSON output has of it."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "code": self.code,
            "message": self.message,
            "path": [asdict(step) for step in self.path],
            "fixable": self.fix is not None,
        }
