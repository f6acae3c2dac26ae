"""Many HTTP requests at the same time, over sockets, with every outcome counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

TIMEOUT = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The responses. Outcomes are HTTP statuses, or names of exceptions if there was no response."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0

    @property
    def errors(self) -> dict[str, int]:
        """Everything but a 200."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome != "200"}


async def send_all(port: int, paths: Sequence[str], answered: Callable[[str], object] | None = None) -> Load:
    """GET every path at the same time, each on a separate connection. ``answered`` gets each outcome as it arrives."""
    started = time.perf_counter()
    answers = await asyncio.gather(*(_send(port, path, answered) for path in paths))
    outcomes, seconds = zip(*answers, strict=True)
    return Load(outcomes=Counter(outcomes), seconds=list(seconds), wall=time.perf_counter() - started)


async def _send(port: int, path: str, answered: Callable[[str], object] | None) -> tuple[str, float]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(TIMEOUT):
            outcome = await _get(port, path)
    except (OSError, EOFError, TimeoutError) as error:
        outcome = type(error).__name__
    if answered is not None:
        answered(outcome)
    return outcome, time.perf_counter() - started


async def _get(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n")
        await reader.read()
    finally:
        writer.close()
    return head.split(b" ")[1].decode()
