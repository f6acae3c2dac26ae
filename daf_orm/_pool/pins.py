"""Pinned leases: those that owners keep, because their calls have changed the session of a connection.

At most ``max_pinned`` of a pool's leases are pinned, so that calls without session state find one.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

from django.db import InterfaceError

from daf_orm._core.bridge import current_bridge
from daf_orm._core.call_site import find_call_site
from daf_orm._django import hops, owners
from daf_orm.exceptions import CallCancelled, PoolClosed, TooManyRequests

if TYPE_CHECKING:
    from daf_orm._leases.lease import Lease
    from daf_orm._leases.owner import Owner

PIN_PATIENCE = 1.0
"""Seconds that all pinned connections may be idle while an owner waits to pin one. Then the owner is refused."""
_TWO_SESSIONS = (
    "{owner} would have two sessions: one of its calls sets something on its connection while another runs that has "
    "done so already ({origin}). Await one call before the other, or set it before any query."
)


class Pins:
    """The pinned leases of a pool. ``timeout`` is in seconds; ``lock`` is the pool's, held for bookkeeping only."""

    def __init__(
        self, lock: threading.Lock, *, max_size: int, max_pinned: int | None, timeout: float, keeps_first: bool
    ) -> None:
        self.max_pinned = max_pinned or max(1, max_size - 1)
        self.closed = False
        """True once the pool is closed, so that no call may wait to pin."""
        self._max_size = max_size
        self._timeout = timeout
        self._keeps_first = keeps_first
        self._lock = lock
        self._changed = threading.Condition(lock)
        self._leases: dict[Lease, None] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def __contains__(self, lease: Lease) -> bool:
        return lease in self._leases

    def keep(self, lease: Lease) -> None:
        """Pin a lease to its owner, before its session is changed. On the worker thread of its call.

        The call goes on on another lease if the owner has pinned that. Raises InterfaceError if it cannot, because it
        has begun on its own lease; CallCancelled if its task has been cancelled; PoolClosed if the pool is closed.
        Raises TooManyRequests if no more may be pinned: after the pool's time limit, or soon if all others are idle.
        """
        owner, deadline = lease.owner, time.monotonic() + self._timeout
        assert owner is not None
        while (other := self._pin_or_find(lease, owner, deadline)) is not None:
            if not lease.may_move():
                raise InterfaceError(_TWO_SESSIONS.format(owner=owner.name, origin=other.pinned_for))
            other.take_turn_blocking(self._timeout, lambda: lease.is_stopping)
            has_moved = False
            try:
                has_moved = _move(lease, other)
            finally:
                if not has_moved:
                    other.turn.release()
            if has_moved:
                return

    def keep_late(self, lease: Lease, owner: Owner) -> bool:
        """Pin a lease for state that a call has left: an open cursor or transaction, a driver's option.

        Allowed beyond ``max_pinned``: this state can only be kept or lost. False if the owner has pinned another.
        """
        with self._lock:
            if owner.pinned is None:
                self._pin(lease, owner)
            return owner.pinned is lease

    def share(self, lease: Lease, owner: Owner) -> None:
        """Let all calls of an owner run on a lease that its iteration holds, driven by other tasks."""
        with self._lock:
            if owner.pinned is None and self._may_pin(owner):
                self._pin(lease, owner)

    def unpin(self, lease: Lease) -> None:
        """Let another owner pin instead. The caller holds the lock."""
        if lease in self._leases:
            del self._leases[lease]
            if lease.owner is not None and lease.owner.pinned is lease:
                lease.owner.pinned = None
            self._changed.notify_all()

    def close(self) -> None:
        """Let calls that wait to pin raise PoolClosed. The caller holds the lock."""
        self.closed = True
        self._changed.notify_all()

    def are_in_use(self) -> bool:
        """Return True if a pinned lease has a call, or had one within ``PIN_PATIENCE``."""
        now = time.monotonic()
        return any(lease.turn.taken or now - lease.turn.ended < PIN_PATIENCE for lease in self._leases)

    def _pin_or_find(self, lease: Lease, owner: Owner, deadline: float) -> Lease | None:
        """Pin the lease, as soon as that is allowed. Return the other one if the owner has pinned another."""
        bridge, idle_looks = current_bridge(), 0
        while True:
            with self._changed:
                other: Lease | None = owner.pinned
                if other is not None and not other.ended:
                    return None if other is lease else other
                if self._may_pin(owner):
                    self._pin(lease, owner)
                    return None
                if self.closed:
                    raise PoolClosed("The pool was closed while this call waited to keep its connection.")
                # Twice in a row: after the process itself stood still for a moment, leases in use look idle.
                idle_looks = 0 if self.are_in_use() else idle_looks + 1
                if lease.is_stopping or time.monotonic() > deadline or idle_looks > 1:
                    raise self._too_many()
                if bridge is None:
                    self._changed.wait(PIN_PATIENCE / 4)
            if bridge is not None:  # on the event loop, where a notification would have to wake all of them
                bridge.wait_until_done(asyncio.sleep(PIN_PATIENCE / 10))

    def _may_pin(self, owner: Owner) -> bool:
        return self._keeps_first or owner.executor is not None or len(self._leases) < self.max_pinned

    def _pin(self, lease: Lease, owner: Owner) -> None:
        self._leases[lease] = None
        owner.pinned, owner.was_pinned = lease, True
        place = str(find_call_site())
        owner.pinned_at = owner.pinned_at or place
        lease.pinned_for = f"{owner.name} keeps it since {place}"
        lease.close_gate()
        owners.end_with_task(owner)

    def _too_many(self) -> TooManyRequests:
        held = "; ".join(lease.pinned_for for lease in self._leases)
        return TooManyRequests(
            f"{len(self._leases)} owners keep the connection on which they have set something, and no more may "
            f"(DAF_ORM['MAX_PINNED'] is {self.max_pinned}, of MAX_SIZE {self._max_size}): {held}. Make the settings by "
            "DAF_ORM['CONFIGURE'] or in a transaction by SET LOCAL, which keep no connection, or raise MAX_SIZE."
        )


def _move(lease: Lease, other: Lease) -> bool:
    """Continue the call on its owner's other lease, whose turn it has. False if that lease has ended meanwhile."""
    if lease.is_stopping:
        raise CallCancelled("The task that wanted this statement has been cancelled; it was not sent.")
    if other.ended:
        return False
    if not other.can_be_joined():
        assert lease.owner is not None
        raise InterfaceError(_TWO_SESSIONS.format(owner=lease.owner.name, origin=other.pinned_for))
    hops.move_hop(lease, other)
    return True
