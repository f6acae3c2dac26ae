"""The results of a race: one for each turn."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """The circumstances under which the contenders are compared."""

    place: str
    """``in process``, or ``HTTP``."""
    database: str
    work: str
    callers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One turn of a contender."""

    round: int
    """Turns of the same round were moments apart, so what the machine did meanwhile falls on all of them."""
    cpu: float
    """Seconds per request, of the process with all its threads and children."""
    rate: float
    """Requests per second."""
    p50: float
    """Seconds."""
    p99: float
    failures: Mapping[str, int]
    """Requests without an answer as expected, by status or by what went wrong."""
    memory: int
    """Bytes, resident, at the peak."""
    threads: int
    connections: int


@dataclass(slots=True, kw_only=True)
class Race:
    """All that was found, and about what."""

    about: dict[str, Any] = field(default_factory=dict)
    """Date, machine, load, versions and settings."""
    absent: dict[str, str] = field(default_factory=dict)
    """Why a contender takes no part at all."""
    excused: list[tuple[Heat, str, str]] = field(default_factory=list)
    """Heats that a contender takes no part in, with its name and the reason."""
    heats: dict[Heat, dict[str, list[Sample]]] = field(default_factory=lambda: defaultdict(dict))
    """By heat and contender, a sample for each round."""
    idle: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The cost of idle streams, by contender."""

    def add(self, heat: Heat, contender: str, sample: Sample) -> None:
        """Remember a turn."""
        self.heats[heat].setdefault(contender, []).append(sample)

    def excuse(self, heat: Heat, contender: str, reason: str) -> None:
        """Remember why a contender takes no part in a heat."""
        if (excuse := (heat, contender, reason)) not in self.excused:
            self.excused.append(excuse)

    def to_json(self) -> str:
        """Return it as JSON, a heat on each line, with four digits of each figure."""
        heats = [{**asdict(heat), "contenders": _figures(found)} for heat, found in self.heats.items()]
        excused = [{**asdict(heat), "contender": name, "reason": reason} for heat, name, reason in self.excused]
        others = {"about": self.about, "absent": self.absent, "excused": excused, "idle": self.idle}
        lines = ",\n".join(json.dumps(heat) for heat in heats)
        return f'{json.dumps(others, indent=1)[:-2]},\n "heats": [\n{lines}\n ]\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> Race:
        """Return the race that ``to_json`` has written."""
        read = json.loads(text)
        race = cls(about=read["about"], absent=read["absent"], idle=read["idle"])
        for each in read["excused"]:
            race.excuse(_heat(each), each["contender"], each["reason"])
        for each in read["heats"]:
            race.heats[_heat(each)] = {name: _samples(found) for name, found in each["contenders"].items()}
        return race


def _figures(found: Mapping[str, Iterable[Sample]]) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [{key: _short(value) for key, value in asdict(each).items()} for each in samples]
        for name, samples in found.items()
    }


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _heat(read: Mapping[str, Any]) -> Heat:
    return Heat(place=read["place"], database=read["database"], work=read["work"], callers=read["callers"])


def _samples(read: Iterable[Mapping[str, Any]]) -> list[Sample]:
    return [Sample(**each) for each in read]
