"""Private names of querysets."""

from __future__ import annotations

from typing import Any


def fetched_rows(queryset: Any) -> list[Any] | None:
    """Return the rows of a queryset that has been evaluated, else None."""
    rows: list[Any] | None = queryset._result_cache
    return rows


def value_names(queryset: Any) -> tuple[str, ...] | None:
    """Return the names given to ``values()`` or ``values_list()``, none meaning all; None if neither was called."""
    names: tuple[str, ...] | None = getattr(queryset, "_fields", None)
    return names
