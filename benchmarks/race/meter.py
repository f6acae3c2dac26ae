"""The use of CPU, memory, threads and connections by a process and its children, seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import psutil

from benchmarks.sampling import Peaks

INTERVAL = 0.05
"""Seconds between two looks at what has a peak: often enough for a turn of a second, and cheap."""


class Meter:
    """Reads a process and the children that it has by now."""

    def __init__(self, pid: int, count_sessions: Callable[[], int]) -> None:
        root = psutil.Process(pid)
        self._processes = [root, *root.children(recursive=True)]  # looked for once: it reads all processes there are
        self._count_sessions = count_sessions

    def cpu(self) -> float:
        """Return the CPU seconds until now."""
        return sum(sum(each.cpu_times()[:2]) for each in self._processes)

    def look(self) -> dict[str, int]:
        """Return ``memory``, ``threads`` and ``connections`` now."""
        return {name: read() for name, read in self._figures().items()}

    def peaks(self) -> Peaks:
        """Return what remembers the peaks of ``memory``, ``threads`` and ``connections`` while it is entered."""
        return Peaks(self._figures(), interval=INTERVAL)

    def _figures(self) -> dict[str, Callable[[], int]]:
        return {"memory": self._memory, "threads": self._threads, "connections": self._count_sessions}

    def _memory(self) -> int:
        return self._sum(lambda process: process.memory_info().rss)

    def _threads(self) -> int:
        return self._sum(psutil.Process.num_threads)

    def _sum(self, read: Callable[[psutil.Process], int]) -> int:
        total = 0
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                total += read(process)
        return total
