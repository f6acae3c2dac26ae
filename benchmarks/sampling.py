"""Peaks of figures that only exist while something else runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import psycopg

INTERVAL = 0.005

_SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname = coalesce(%s, datname)
"""


class Peaks:
    """Reads figures every few milliseconds on a separate thread, and remembers the highest of each."""

    def __init__(self, figures: Mapping[str, Callable[[], int]], *, interval: float = INTERVAL) -> None:
        self._figures = figures
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peaks")
        self.highest: dict[str, int] = {}

    def _watch(self) -> None:
        while True:
            for name, read in self._figures.items():
                self.highest[name] = max(self.highest.get(name, 0), read())
            if self._stop.wait(self._interval):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()


class Sessions:
    """Client sessions of a PostgreSQL server, seen from one that is not counted.

    Connect before the load starts: afterwards there may be no slot left.
    """

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def count(self, database: str | None = None) -> int:
        """Return how many there are now, in one database or in all."""
        row = self._connection.execute(_SESSIONS, [database]).fetchone()
        assert row is not None
        return int(row[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()
