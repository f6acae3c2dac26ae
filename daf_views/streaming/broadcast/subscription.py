"""The messages that wait for one subscriber.

Problem: a subscriber may be slower than the publishers, and its process may lose its connection. It must cost neither
unbounded memory nor the time of others. Mechanism: each subscription holds ``capacity`` messages at most, as text, and
offering one never waits. Invariant: a subscriber receives every message since it subscribed, in order, or is told where
some are missing.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from daf_views.exceptions import SlowSubscriberError

if TYPE_CHECKING:
    from typing import TypeAlias

Overflow: TypeAlias = Literal["disconnect", "drop_oldest"]
OVERFLOWS = get_args(Overflow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Takes the place of lost messages: query again what they would have said. Later messages follow."""

    lost: int | None
    """The number of dropped messages; None where the connection was lost, which does not tell how many."""

    def __add__(self, other: Gap) -> Gap:
        """Return the gap that is left of two neighbours."""
        return Gap(lost=None if self.lost is None or other.lost is None else self.lost + other.lost)


class Subscription:
    """An async iterator of messages, and of a :class:`Gap` where some are missing, for one reader.

    It ends when the server drains, after the messages that wait. Raises SlowSubscriberError, after them, where the
    channel's ``overflow`` is "disconnect" and more than ``capacity`` would wait.
    """

    def __init__(self, channel: str, *, capacity: int, overflow: Overflow) -> None:
        self.channel = channel
        self._capacity = capacity
        self._drops_oldest = overflow == "drop_oldest"
        self._waiting: deque[str | Gap] = deque()
        self._dropped: Gap | None = None
        """The gap before all that waits."""
        self._is_slow = False
        self._has_ended = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Return the number of messages and gaps that wait."""
        return len(self._waiting)

    def offer(self, message: str) -> None:
        """Keep a message, which is JSON, for the reader."""
        self._put(message)

    def mark_gap(self) -> None:
        """Note that an unknown number of messages has been lost."""
        if not (self._waiting and isinstance(self._waiting[-1], Gap)):
            self._put(Gap(lost=None))

    def end(self) -> None:
        """End the iteration after the messages that wait."""
        self._has_ended = True
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        while not (self._dropped or self._waiting):
            if self._is_slow:
                raise SlowSubscriberError(
                    f"This subscriber of {self.channel!r} fell more than {self._capacity} messages behind. Subscribe "
                    "again, and query what it missed; or raise the channel's capacity."
                )
            if self._has_ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        if self._dropped is not None:
            gap, self._dropped = self._dropped, None
            return gap
        item = self._waiting.popleft()
        return json.loads(item) if isinstance(item, str) else item

    def _put(self, item: str | Gap) -> None:
        if self._is_slow or self._has_ended:
            return  # permanently: a message after a gap would hide the gap
        if len(self._waiting) < self._capacity:
            self._waiting.append(item)
        elif self._drops_oldest:
            self._drop(self._waiting.popleft())
            self._waiting.append(item)
        else:
            self._is_slow = True
        self._changed.set()

    def _drop(self, item: str | Gap) -> None:
        lost = item if isinstance(item, Gap) else Gap(lost=1)
        self._dropped = lost if self._dropped is None else self._dropped + lost
