"""The relations and fields that rows have loaded, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EVERYTHING: Final = "*"
"""Among the relations of a row: all of them are loaded."""

ORDERED: Final = "<ordered>"
"""Among the prefetched relations of rows: they were prefetched by a queryset, which may order them."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The relations and fields that rows have loaded."""

    joined: frozenset[str] = frozenset()
    """Lookups of ``select_related``, each with those it goes through: ``author``, ``author__profile``."""
    prefetched: frozenset[str] = frozenset()
    deferred: frozenset[str] = frozenset()
    only: frozenset[str] = frozenset()
    listed: frozenset[tuple[str, str]] = frozenset()
    """Lists of ``Prefetch(…, to_attr=…)``: the attribute, behind the relations it goes through, and the relation."""
    is_known: bool = True
    """False where rows come from where this is not seen: then nothing of them is said by default."""

    def below(self, name: str) -> Loaded:
        """Return what the rows behind a relation have."""
        prefix = f"{name}__"

        def cut(names: frozenset[str]) -> frozenset[str]:
            return frozenset(
                each.removeprefix(prefix) for each in names if each.startswith(prefix) or each == EVERYTHING
            )

        lists = frozenset((path.removeprefix(prefix), of) for path, of in self.listed if path.startswith(prefix))
        return Loaded(cut(self.joined), cut(self.prefetched), cut(self.deferred), cut(self.only), lists, self.is_known)

    def united(self, other: Loaded) -> Loaded:
        """Return what rows have that may be of either kind."""
        return Loaded(
            self.joined | other.joined,
            self.prefetched | other.prefetched,
            self.deferred & other.deferred,
            self.only | other.only if self.only and other.only else frozenset(),
            self.listed | other.listed,
            self.is_known and other.is_known,
        )


NOTHING: Final = Loaded()
