"""States in the memory of the process: the fastest backend, with which each process counts separately.

Keys are spread over many small dictionaries, so that neither to grow nor to sweep one takes long. A dictionary of a
million keys needs a tenth of a second to grow, in which the event loop would stand still. States are kept as bytes,
which the garbage collector does not look into.
"""

from __future__ import annotations

import struct
import threading
import time
from typing import TYPE_CHECKING, ClassVar, Self

from daf_views.exceptions import ThrottleBackendError
from daf_views.throttling.backends.base import Backend

if TYPE_CHECKING:
    from daf_views._core.clock import Clock
    from daf_views.settings import Settings
    from daf_views.throttling.operations import Operation, R
    from daf_views.throttling.quota import State

SHARDS = 256
SWEEP_INTERVAL = 60 * 1_000_000 // SHARDS
"""Microseconds between the sweeps of two shards: each has its turn once a minute."""


def monotonic_clock() -> int:
    """Return microseconds of a clock that is never set back."""
    return time.monotonic_ns() // 1000


class MemoryBackend(Backend):
    """At most ``max_keys`` keys. A live key is never evicted for a new one, which is refused."""

    is_shared: ClassVar[bool] = False

    def __init__(self, *, max_keys: int = 100_000, clock: Clock = monotonic_clock) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._shards: list[dict[str, bytes]] = [{} for _ in range(SHARDS)]
        self._count = 0
        self._hand = 0
        """The shard that is swept next."""
        self._next_sweep = 0
        self._lock = threading.Lock()  # event loops of several threads may count, and a step must be one

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return one with ``THROTTLE_MAX_KEYS``."""
        return cls(max_keys=settings.THROTTLE_MAX_KEYS)

    def __len__(self) -> int:
        return self._count

    async def run(self, key: str, operation: Operation[R], *, timeout: float) -> R:  # noqa: ARG002 - nothing is waited for
        """Run the operation at once."""
        with self._lock:
            now = self._clock()
            if now >= self._next_sweep:
                self._sweep_one(now)
                self._next_sweep = now + SWEEP_INTERVAL
            shard = self._shards[hash(key) % SHARDS]
            change = operation.apply(_state(shard.get(key), now), now)
            if change.state is not None:
                self._keep(key, change.state, change.expires, now)
            return change.result

    def _keep(self, key: str, state: State, expires: int, now: int) -> None:
        is_new = key not in self._shards[hash(key) % SHARDS]
        if expires <= now:
            self._count -= not is_new
            self._shards[hash(key) % SHARDS].pop(key, None)
            return
        if is_new:
            self._make_room(now)
            self._count += 1
        self._shards[hash(key) % SHARDS][key] = struct.pack(f"{len(state) + 1}q", expires, *state)

    def _make_room(self, now: int) -> None:
        if self._count >= self._max_keys:
            self._sweep_one(now)
        if self._count >= self._max_keys:
            raise ThrottleBackendError(
                f"{self._max_keys} keys are being counted, and none of those looked at has expired. Raise "
                "DAF_VIEWS['THROTTLE_MAX_KEYS'], or choose a backend outside the process."
            )

    def _sweep_one(self, now: int) -> None:
        """Drop expired keys from one shard. It is made anew: a dictionary never gives memory back."""
        shard = self._shards[self._hand]
        alive = {key: kept for key, kept in shard.items() if _expiry(kept) > now}
        self._count -= len(shard) - len(alive)
        self._shards[self._hand] = alive
        self._hand = (self._hand + 1) % SHARDS


def _expiry(kept: bytes) -> int:
    return struct.unpack_from("q", kept)[0]  # type: ignore[no-any-return] # a q is an int


def _state(kept: bytes | None, now: int) -> State:
    if kept is None:
        return ()
    expires, *state = struct.unpack(f"{len(kept) // 8}q", kept)
    return tuple(state) if expires > now else ()
