"""The baseline: the blocking calls that a project had when it adopted the guard."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


class Sighted(Protocol):
    """A call that was seen: the guard's BlockingCall, or a finding of ``daf check``."""

    @property
    def module(self) -> str:
        """Dotted name of the module."""

    @property
    def function(self) -> str:
        """Qualified name of the function."""

    @property
    def expression(self) -> str:
        """The source of the expression."""

    @property
    def operation(self) -> str:
        """The operation, in Django's words."""


@dataclass(frozen=True, slots=True, order=True)
class KnownCall:
    """A known call. Without its line number, which changes with every edit above it."""

    module: str
    function: str
    expression: str
    operation: str

    @classmethod
    def of(cls, call: Sighted) -> Self:
        """Return the entry for a call."""
        return cls(call.module, call.function, call.expression, call.operation)

    def __str__(self) -> str:
        return f"{self.module}:{self.function}: {self.expression or self.operation}"


class Baseline:
    """The entries of a file, each with a test that has seen it. If that test runs without it, the entry is stale."""

    def __init__(
        self, path: Path | None, entries: dict[KnownCall, str], counts: dict[KnownCall, int] | None = None
    ) -> None:
        self._path = path
        self._entries = entries
        self._counts = counts or {}
        self._seen: dict[KnownCall, str] = {}

    @classmethod
    def load(cls, path: str | None) -> Self:
        """Read the file. A missing one is an empty baseline. Raises ValueError if the file is not a baseline."""
        if path is None:
            return cls(None, {})
        file = Path(path)
        if not file.exists():
            return cls(file, {})
        try:
            rows: list[dict[str, Any]] = json.loads(file.read_text())["blocking_calls"]
            entries = {_entry(row): str(row["test"]) for row in rows}
            counts = {_entry(row): int(row["count"]) for row in rows if "count" in row}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a baseline of daf_orm; write one with --daf-write-baseline.") from error
        return cls(file, entries, counts)

    def knows(self, call: Sighted, test: str) -> bool:
        """Return True if the call is in the file. Remembers that ``test`` has seen it."""
        entry = KnownCall.of(call)
        self._seen.setdefault(entry, test)
        return entry in self._entries

    def has(self, call: Sighted) -> bool:
        """Return True if the call is in the file."""
        return KnownCall.of(call) in self._entries

    def test_of(self, call: Sighted) -> str | None:
        """Return the test by which the file has the call; None if it does not have it."""
        return self._entries.get(KnownCall.of(call))

    def count_of(self, call: Sighted) -> int:
        """Return how many times a function has the call: 1, if the file does not say more."""
        return self._counts.get(KnownCall.of(call), 1)

    def stale(self, tests: set[str]) -> list[KnownCall]:
        """Return the entries whose test is among those that ran, and that no test has seen."""
        return sorted(entry for entry, test in self._entries.items() if test in tests and entry not in self._seen)

    def write(self, calls: Iterable[Sighted], tests: set[str], counts: dict[KnownCall, int] | None = None) -> int:
        """Write the file anew: these calls, and entries of tests that did not run. ``tests`` are those that ran.

        ``counts`` says how many times source has a call; a test, which may run a line often, does not know.
        Return the number of entries that the file has now.
        """
        assert self._path is not None
        kept = {entry: test for entry, test in self._entries.items() if test not in tests}
        kept |= {entry: self._seen[entry] for entry in map(KnownCall.of, calls)}
        times = self._counts if counts is None else self._counts | counts
        rows = [
            {**asdict(entry), "test": test} | ({"count": times[entry]} if times.get(entry, 1) > 1 else {})
            for entry, test in sorted(kept.items())
        ]
        self._path.write_text(json.dumps({"blocking_calls": rows}, indent=2, ensure_ascii=False) + "\n")
        return len(rows)

    def seen_as_data(self) -> list[list[str]]:
        """Return the calls that were seen, as data for another process."""
        return [[*asdict(entry).values(), test] for entry, test in self._seen.items()]

    def take_seen(self, data: list[list[str]]) -> None:
        """Add the calls that another process has seen."""
        for *fields, test in data:
            self._seen.setdefault(KnownCall(*fields), test)


def _entry(row: dict[str, Any]) -> KnownCall:
    return KnownCall(**{key: row[key] for key in KnownCall.__slots__})
