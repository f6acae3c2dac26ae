"""The plans of a process: bounded, the least recently used evicted first, and counted."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from daf_orm._django.expression_shapes import Unkept
    from daf_orm._plans.plan import Plan
    from daf_orm._plans.row_plan import RowPlan

    AnyPlan = Plan | RowPlan

_MAX_REASONS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStats:
    """Counts since plans were last cleared. They are not exact where threads count at once."""

    size: int
    """Structures known now, those without a plan included."""
    hits: int
    """Queries that took the SQL of a plan."""
    made: int
    """Plans made."""
    compared: int
    """Hits that were compiled both ways."""
    differed: int
    """Plans dropped because Django compiled something else, and filters of which it made something else."""
    filters: int
    """Filters on a query's own columns, which took no search for their names."""
    django: int
    """Queries that took Django's way."""
    reasons: Mapping[str, int]
    """Those, by what was not known to compile alike."""


class PlanStore:
    """Plans by the structure of their query.

    Two generations stand for the order of use. A plan found in the old one moves to the young one. When the young one
    is half of all, it becomes the old one. So a look-up takes no lock. A change waits for no lock either, because a
    finalizer or a signal handler may query the database in the middle of another change. It is left out then.
    """

    def __init__(self, max_size: int) -> None:
        self._half = max(1, max_size // 2)
        self._young: dict[Any, AnyPlan | Unkept] = {}
        self._old: dict[Any, AnyPlan | Unkept] = {}
        self._lock = threading.Lock()
        self.hits = self.made = self.compared = self.differed = self.filters = self.django = 0
        self._reasons: Counter[str] = Counter()

    def find(self, key: Any) -> AnyPlan | Unkept | None:
        """Return the plan of a structure, or why it has none; None if it is not known."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: Any, found: AnyPlan | Unkept) -> None:
        """Keep a plan, or why there is none, in the place of what was kept."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if len(self._young) >= self._half and key not in self._young:
                self._old, self._young = self._young, {}
            self._young[key] = found
        finally:
            self._lock.release()

    def count_django(self, reason: str) -> None:
        """Count a query that takes Django's way."""
        self.django += 1
        if reason in self._reasons or len(self._reasons) < _MAX_REASONS:
            self._reasons[reason] += 1

    def stats(self) -> PlanStats:
        """Return the counts."""
        return PlanStats(
            size=len(self._young.keys() | self._old.keys()),
            hits=self.hits,
            made=self.made,
            compared=self.compared,
            differed=self.differed,
            filters=self.filters,
            django=self.django,
            reasons=dict(self._reasons.most_common()),
        )
