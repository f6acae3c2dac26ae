"""The registry: metrics, the functions that read them, and counters for what is counted nowhere else.

A count that another object keeps, such as the pool, is read when the metrics are collected, and not counted twice.
Every process has its own registry: the child of a fork counts from 0. The label values of a counter are bounded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge"]
Series: TypeAlias = Mapping[tuple[str, ...], float]

MAX_SERIES: Final = 200
"""Combinations of label values that a counter keeps. The first label of any other reads ``OTHER``."""
OTHER: Final = "other"
LABEL_LENGTH: Final = 200
"""Characters of a label's value, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """The description of one metric. Source of its name: Prometheus's conventions, with base unit and ``_total``."""

    name: str
    kind: Kind
    """``"counter"`` only grows while the process lives; ``"gauge"`` goes up and down."""
    unit: str
    """The things that are counted, in the plural, or ``"seconds"``."""
    help: str
    """One sentence."""
    labels: tuple[str, ...] = ()


class Reading(NamedTuple):
    """The values of a metric now, by the values of its labels, in their order."""

    metric: Metric
    series: Series


@dataclass(frozen=True, slots=True)
class Family:
    """Metrics that one function reads together. It may be called from any thread, and does not block."""

    metrics: Sequence[Metric]
    read: Callable[[], Iterable[Reading]]


_families: Final[list[Family]] = []
_followers: Final[list[Callable[[Family], object]]] = []


def register(family: Family) -> Family:
    """Add metrics to the registry. Raise ValueError if a name is registered already."""
    known = {metric.name for each in _families for metric in each.metrics}
    if twice := known.intersection(metric.name for metric in family.metrics):
        raise ValueError(f"{', '.join(sorted(twice))}: registered already. Metrics are made once, in a module.")
    _families.append(family)
    for follower in tuple(_followers):
        follower(family)
    return family


def follow(follower: Callable[[Family], object]) -> None:
    """Call a function with each family of metrics, the present ones and those that are registered later."""
    _followers.append(follower)
    for family in tuple(_families):
        follower(family)


def collect() -> list[Reading]:
    """Return the values of all metrics of this process, sorted by name. Any thread may call it; it does not block.

    A metric of a part that has not been used yet, such as the pool, has no series.
    """
    found = {reading.metric.name: reading for family in tuple(_families) for reading in family.read()}
    missing = (Reading(metric, {}) for family in tuple(_families) for metric in family.metrics)
    for reading in missing:
        found.setdefault(reading.metric.name, reading)
    return [found[name] for name in sorted(found)]


class Computed:
    """A metric that a function computes when it is read: a number, or numbers by label values."""

    def __init__(  # noqa: PLR0913 - a metric, and its function
        self,
        name: str,
        help: str,  # noqa: A002 - Prometheus's word
        *,
        kind: Kind,
        unit: str,
        read: Callable[[], float | Series],
        labels: tuple[str, ...] = (),
    ) -> None:
        self.metric = Metric(name=name, kind=kind, unit=unit, help=help, labels=labels)
        self._read = read
        register(Family((self.metric,), self.read))

    def read(self) -> list[Reading]:
        """Return its values."""
        value = self._read()
        return [Reading(self.metric, value if isinstance(value, Mapping) else {(): value})]


class Counter:
    """A metric that is counted where it happens: ``counter.add("value of the label")``. From any thread.

    It keeps ``max_series`` combinations of label values. The first label of all others reads ``"other"``. Only the
    first may have values that are not known beforehand.
    """

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002 - Prometheus's word
        *,
        unit: str,
        labels: tuple[str, ...] = (),
        max_series: int = MAX_SERIES,
    ) -> None:
        self.metric = Metric(name=name, kind="counter", unit=unit, help=help, labels=labels)
        self._max_series = max_series
        self._values: dict[tuple[str, ...], float] = {}
        self.restart()
        _counters.append(self)
        register(Family((self.metric,), self.read))

    def add(self, *values: str, amount: float = 1) -> None:
        """Count one more, or ``amount``, for these values of the labels."""
        with _lock:
            try:
                self._values[values] += amount
            except KeyError:
                key = self._key(values)
                self._values[key] = self._values.get(key, 0) + amount

    def read(self) -> list[Reading]:
        """Return its values."""
        with _lock:
            return [Reading(self.metric, dict(self._values))]

    def restart(self) -> None:
        """Count from 0, in the child of a fork."""
        self._values = {} if self.metric.labels else {(): 0}

    def _key(self, values: tuple[str, ...]) -> tuple[str, ...]:
        if len(values) != len(self.metric.labels):
            raise ValueError(f"{self.metric.name} has the labels {self.metric.labels}, not {len(values)} of them.")
        key = tuple(value[:LABEL_LENGTH] for value in values)
        is_new = key not in self._values
        return (OTHER, *key[1:]) if is_new and len(self._values) >= self._max_series else key


class Underway:
    """A gauge of what is under way in this process: ``with underway.during("value of the label"):``.

    It takes no lock, because a finalizer may end a block. Label values that have been seen stay, with 0.
    """

    def __init__(
        self,
        name: str,
        help: str,  # noqa: A002 - Prometheus's word
        *,
        unit: str,
        labels: tuple[str, ...] = (),
    ) -> None:
        self.metric = Metric(name=name, kind="gauge", unit=unit, help=help, labels=labels)
        self._blocks: dict[object, tuple[str, ...]] = {}
        self._known: dict[tuple[str, ...], None] = {}
        self.restart()
        _counters.append(self)
        register(Family((self.metric,), self.read))

    @contextmanager
    def during(self, *values: str) -> Iterator[None]:
        """Count one more as long as the block lasts."""
        key = tuple(value[:LABEL_LENGTH] for value in values)
        if key not in self._known:
            key = key if len(self._known) < MAX_SERIES else (OTHER, *key[1:])
            self._known[key] = None
        block = object()
        self._blocks[block] = key
        try:
            yield
        finally:
            self._blocks.pop(block, None)

    def read(self) -> list[Reading]:
        """Return its values."""
        series = dict.fromkeys(list(self._known), 0)
        for key in list(self._blocks.values()):
            series[key] = series.get(key, 0) + 1
        return [Reading(self.metric, series)]

    def restart(self) -> None:
        """Forget what is under way in the parent process, in the child of a fork."""
        self._blocks, self._known = {}, {} if self.metric.labels else {(): None}


_counters: Final[list[Counter | Underway]] = []
_lock = threading.RLock()
"""Held for one addition. A finalizer may count while its own thread holds it, so a plain lock could never be taken."""


def _forget_after_fork() -> None:
    global _lock  # noqa: PLW0603 - it may have been held in the parent
    _lock = threading.RLock()
    for counter in _counters:
        counter.restart()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
