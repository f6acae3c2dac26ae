"""A broadcast: an item that is sent once reaches all listeners in this process.

Problem: a listener may be slower than the sender, and must cost neither unbounded memory nor the others'
time. Mechanism: each holds at most `capacity` items; `send` never waits. Invariant: a listener hears every item sent
since it began, in order, or is told that it fell behind and hears no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Listener:
    """An async iterator of what is sent. It ends where its reader fell behind, and nowhere else."""

    def __init__(self, capacity: int) -> None:
        self._items: asyncio.Queue[Any] = asyncio.Queue(capacity)
        self._fell_behind = False

    def offer(self, item: Any) -> None:
        """Keep an item for the reader, unless there is no room for it."""
        if self._fell_behind or self._items.full():
            self._fell_behind = True  # permanently: an item after a gap would hide the gap
        else:
            self._items.put_nowait(item)

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Any:
        if self._fell_behind and self._items.empty():
            raise StopAsyncIteration
        return await self._items.get()


class Broadcast:
    """Sends to all its listeners. Of one event loop: use it there, not in threads."""

    def __init__(self, *, capacity: int) -> None:
        self.capacity = capacity
        self._listeners: set[Listener] = set()

    def send(self, item: Any) -> None:
        """Offer an item to all present listeners."""
        for listener in self._listeners:
            listener.offer(item)

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Listen from here on, until the block is left."""
        listener = Listener(self.capacity)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)


placed_orders = Broadcast(capacity=100)
"""Every order of this process, as `representations.order_notice` shows it, once it has been committed."""
