"""Answers are compared before anything is timed."""

from __future__ import annotations

import json
from collections.abc import Sequence


class Referee:
    """Knows the answers to each piece of work: those that its first contender gave."""

    def __init__(self) -> None:
        self._known: dict[str, list[bytes]] = {}

    def objection(self, work: str, answers: Sequence[tuple[int, str]]) -> str:
        """Return what is wrong with the answers; an empty string if they are as all others'.

        The bytes are compared after spaces and the order of keys have been made alike.
        """
        for status, body in answers:
            if status not in {200, 201}:
                return f"answered {status}: {' '.join(body.split())[:200]}"
        alike = [canonical(body) for _, body in answers]
        known = self._known.setdefault(work, alike)
        for mine, theirs in zip(alike, known, strict=True):
            if mine != theirs:
                return f"answered {mine.decode()[:100]}, where others answered {theirs.decode()[:100]}"
        return ""


def canonical(body: str) -> bytes:
    """Return the bytes of a JSON text as every encoder could have written them."""
    return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
