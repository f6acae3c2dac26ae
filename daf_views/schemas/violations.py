"""A mistake in a value, and its place."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 100
"""The maximum of reported violations: a body may hold a million."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One mistake: ``place`` leads to it, through names and indices."""

    place: tuple[str | int, ...]
    detail: str
    code: str = "invalid"


class SchemaError(ValueError):
    """A value is not of its type."""

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations
        super().__init__("; ".join(f"{'.'.join(map(str, each.place)) or 'it'}: {each.detail}" for each in violations))


def too_deep() -> SchemaError:
    """Return the violation for a value that is nested more deeply than Python can follow."""
    return SchemaError([Violation((), "It is nested too deeply.", "too_deep")])
