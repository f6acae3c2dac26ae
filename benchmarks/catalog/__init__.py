"""Authors and their books, behind the four requests that ``native`` and the race measure."""

from __future__ import annotations

BOOKS = 300
GATHERED = 5
LISTED = 20


def in_a_row(pk: int) -> list[int]:
    """Return the primary keys of the books that are gathered: this and the next ones, and after the last the first."""
    return [(pk + number - 1) % BOOKS + 1 for number in range(GATHERED)]
