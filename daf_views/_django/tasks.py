"""Private names of task results."""

from __future__ import annotations

from typing import Any

RETURN_VALUE = "_return_value"
"""The field of a ``TaskResult`` that holds what the task has returned."""


def return_value_of(result: Any) -> Any:
    """Return what the task has returned, None before it has."""
    return getattr(result, RETURN_VALUE, None)
