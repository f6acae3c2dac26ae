"""Querysets and managers: facts and actions for which Django has no public name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def needs_fetch(queryset: Any) -> bool:
    """Return True if the rows of a queryset, or its prefetches, have not been fetched yet."""
    if queryset._result_cache is None:
        return True
    return bool(queryset._prefetch_related_lookups) and not queryset._prefetch_done


def fetch_of(queryset: Any) -> Callable[[], None]:
    """Return the function that fetches the rows and their prefetches."""
    fetch: Callable[[], None] = queryset._fetch_all
    return fetch


def has_values_for_rows(queryset: Any) -> bool:
    """Return True if ``values()`` or ``values_list()`` was called: its rows are no instances."""
    return queryset._fields is not None


def mark_built_with_as_manager(manager: Any) -> None:
    """Let migrations name the queryset class of a manager, as ``QuerySet.as_manager()`` does."""
    manager._built_with_as_manager = True


def queryset_class_of(manager: Any) -> type:
    """Return the class of a manager's querysets; no query is made for it."""
    found: type = manager._queryset_class
    return found
