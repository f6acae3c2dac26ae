"""Counts the bytecode instructions that Python executes, by package. A busy machine changes none of it."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

CAN_COUNT = hasattr(sys, "monitoring")  # since Python 3.12
_TOOL = 4  # sys.monitoring has six, and gives four of them names


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Yield what is filled at the end: instructions by top-level package, in all threads; "other" is the rest.

    Code in C counts as the one instruction that calls it.
    """
    found: Counter[CodeType] = Counter()

    def count(code: CodeType, _offset: int) -> None:
        found[code] += 1

    monitoring: Any = sys.monitoring
    by_package: Counter[str] = Counter()
    monitoring.use_tool_id(_TOOL, "benchmarks")
    monitoring.register_callback(_TOOL, monitoring.events.INSTRUCTION, count)
    monitoring.set_events(_TOOL, monitoring.events.INSTRUCTION)
    try:
        yield by_package
    finally:
        monitoring.set_events(_TOOL, 0)
        monitoring.free_tool_id(_TOOL)
        for code, number in found.items():
            by_package[_package_of(code.co_filename)] += number


def _package_of(filename: str) -> str:
    parts = Path(filename).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    return next((part for part in parts if part in {"daf_orm", "daf_views", "benchmarks"}), "other")
