"""The samples of a heat summed up: medians with quartiles, and ratios of turns of the same round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Self

from benchmarks.race.contenders import REFERENCES
from benchmarks.race.samples import Sample
from benchmarks.tables import spread


@dataclass(frozen=True, slots=True, order=True)
class Spread:
    """A median between its quartiles."""

    median: float
    first: float
    third: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Sum values up."""
        first, median, third = spread(values)
        return cls(median, first, third)

    def shown(self, factor: float = 1.0, digits: int = 0) -> str:
        """Return it as ``412 (398-431)``, multiplied; without the brackets if it is of one value."""
        if self.first == self.third:
            return f"{self.median * factor:,.{digits}f}"
        return (
            f"{self.median * factor:,.{digits}f} ({self.first * factor:,.{digits}f}-{self.third * factor:,.{digits}f})"
        )


def median_of(samples: Sequence[Sample], figure: str) -> Spread:
    """Sum a figure up."""
    return Spread.of([attrgetter(figure)(sample) for sample in samples])


def ratio_of(samples: Sequence[Sample], reference: Sequence[Sample], figure: str = "cpu") -> Spread | None:
    """Return how many times the reference's figure this one is, of the rounds that both took part in."""
    read = attrgetter(figure)
    theirs = {sample.round: read(sample) for sample in reference}
    ratios = [read(sample) / theirs[sample.round] for sample in samples if theirs.get(sample.round)]
    return Spread.of(ratios) if ratios else None


def reference_of(found: Mapping[str, Sequence[Sample]]) -> str:
    """Return the contender that the others of a heat are compared with; an empty string where it takes no part."""
    return next((name for name in REFERENCES if name in found), "")


def failures_of(samples: Sequence[Sample]) -> str:
    """Return how many requests failed, in all rounds, and of what."""
    total: dict[str, int] = {}
    for sample in samples:
        for kind, number in sample.failures.items():
            total[kind] = total.get(kind, 0) + number
    return ", ".join(f"{number:,} x {kind}" for kind, number in sorted(total.items())) or "0"
