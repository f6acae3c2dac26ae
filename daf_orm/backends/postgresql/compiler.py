"""Django's compilers, whose rows let the event loop do other things at intervals."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from django.db.backends.postgresql import compiler as django_compiler
from django.db.backends.postgresql.compiler import (
    SQLAggregateCompiler,
    SQLDeleteCompiler,
    SQLInsertCompiler,
    SQLUpdateCompiler,
)

from daf_orm._core.bridge import current_bridge

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SQLAggregateCompiler", "SQLCompiler", "SQLDeleteCompiler", "SQLInsertCompiler", "SQLUpdateCompiler"]
ROWS_PER_BREATH: Final = 100


class SQLCompiler(django_compiler.SQLCompiler):
    """Django's compiler for SELECT."""

    def results_iter(self, results: Any = None, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Return an iterator over the rows, which are made into instances while it runs."""
        rows: Iterator[Any] = iter(super().results_iter(results, *args, **kwargs))
        # Rows fetched in chunks are no list, and must not be read ahead.
        if not isinstance(results, list) or (len(results) == 1 and len(results[0]) <= ROWS_PER_BREATH):
            return rows
        return chain.from_iterable(_breathing(rows))


def _breathing(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while some := list(islice(rows, ROWS_PER_BREATH)):
        yield some
        if (bridge := current_bridge()) is not None:
            bridge.breathe()
