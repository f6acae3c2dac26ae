"""The owner of a connection's state, and its Django wrappers.

Django's code finds one ``DatabaseWrapper`` per request: attributes, execute wrappers and query logs set on it are there
in the request's next call, and in no other request. So a wrapper belongs to its :class:`Owner` and is never lent again.
The pool lends the driver's connection, call by call. The owner has a second wrapper while two of its calls run at the
same time.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

from daf_orm._leases.guest import Guest

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Executor

    from django.db.backends.base.base import BaseDatabaseWrapper


class Owner:
    """A request, a ``ThreadSensitiveContext``, a background task, or any other asyncio task."""

    pinned: Any = None
    """The lease that it keeps until it ends."""
    was_pinned = False
    leases = 0
    """The number of leases that it was lent."""
    waited = 0.0
    """Seconds that its calls have waited for a lease."""
    pinned_at = ""
    """The place in the code that pinned a lease to it first."""
    pinned_by: Any = None
    """The first statement that may have changed its session, if that was seen."""
    lost = ""
    """The message about state lost with a connection that it kept. A request cannot go on; a task gets it once."""
    _ended = False

    def __init__(
        self, name: str = "", *, task: asyncio.Task[Any] | None = None, executor: Executor | None = None
    ) -> None:
        self._name = name
        self.executor = executor
        """The one thread for all of its calls, if it has one."""
        self.kept: dict[str, Any] = {}
        """Its changes to connections that it borrowed, by alias."""
        self.last_used: dict[str, Guest] = {}
        """The wrapper that was used last, by alias. The others copy the attributes set on it."""
        self._task = weakref.ref(task) if task is not None else None
        self._guests: dict[str, list[Guest]] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The owner's name in messages."""
        task = self.task
        return self._name or (f"task {task.get_name()!r}" if task is not None else "a task")

    @property
    def ended(self) -> bool:
        """True if no more of its state will be kept."""
        if not self._ended and self._task is not None:
            task = self._task()
            self._ended = task is None or task.done()
        return self._ended

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The asyncio task that is the owner; None if none is, or if it is gone."""
        return None if self._task is None else self._task()

    def end(self) -> None:
        """Keep no more state. Calls that still run are not disturbed."""
        self._ended = True
        if not self._guests:
            return
        if not self._lock.acquire(blocking=False):  # a finalizer may run this in code that holds the lock
            return
        try:
            guests, self._guests, self.last_used = self._guests, {}, {}
        finally:
            self._lock.release()
        for guest in (each for of_alias in guests.values() for each in of_alias):
            if not guest.is_taken:
                guest.retire()

    def guest(self, alias: str) -> Guest | None:
        """Take a wrapper that no other call uses; None if there is none."""
        if alias not in self._guests:
            return None
        with self._lock:
            guests = self._guests.get(alias, ())
            guest = next((each for each in guests if not each.is_taken), None)
            if guest is None:
                return None
            guest.is_taken = True
        if len(guests) > 1:
            guest.look_like(self.last_used.get(alias, guest))  # none, if it has ended at this moment
        return guest

    def add(self, alias: str, wrapper: BaseDatabaseWrapper) -> Guest:
        """Add a new wrapper, with the attributes that were set on the first."""
        guest = Guest(self, wrapper)
        with self._lock:
            guests = self._guests.setdefault(alias, [])
            guests.append(guest)
        if len(guests) > 1:
            guests[0].note_what_it_shows()
            guest.look_like(self.last_used.get(alias, guests[0]))
        self.last_used.setdefault(alias, guests[0])
        return guest

    def discard(self, guest: Guest) -> None:
        """Forget a wrapper."""
        with self._lock, contextlib.suppress(KeyError, ValueError):
            self._guests[guest.alias].remove(guest)
