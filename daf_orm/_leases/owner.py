"""Who a connection's state belongs to, and the wrappers of Django's that it has.

Django's code finds one ``DatabaseWrapper`` per request: attributes, execute wrappers and query logs set on it are there
in the request's next call, and in no other request. So a wrapper belongs to its :class:`Owner` and is never lent again;
what is lent, call by call, is the driver's connection. The owner has a second wrapper while two of its calls run at
once.
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
    """A request, a ``ThreadSensitiveContext``, a background task; or else an asyncio task."""

    pinned: Any = None
    """The lease that it keeps until it ends."""
    was_pinned = False
    lost = ""
    """What was lost with a connection that it kept: a request may not go on without, a task is told once."""
    _ended = False

    def __init__(
        self, name: str = "", *, task: asyncio.Task[Any] | None = None, executor: Executor | None = None
    ) -> None:
        self._name = name
        self.executor = executor
        """The one thread for all of its calls, where it has one."""
        self.kept: dict[str, Any] = {}
        """How it has left a connection that it borrowed, by alias."""
        self.last_used: dict[str, Guest] = {}
        """The wrapper that was used last, by alias: what has been set on it, others show."""
        self._task = weakref.ref(task) if task is not None else None
        self._guests: dict[str, list[Guest]] = {}
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """Who it is, for messages."""
        task = self.task
        return self._name or (f"task {task.get_name()!r}" if task is not None else "a task")

    @property
    def ended(self) -> bool:
        """Whether nothing of it will be kept any more."""
        if not self._ended and self._task is not None:
            task = self._task()
            self._ended = task is None or task.done()
        return self._ended

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that it is; None if it is something else, or gone."""
        return None if self._task is None else self._task()

    def end(self) -> None:
        """Keep nothing any more. What still runs is not disturbed."""
        self._ended = True
        if not self._lock.acquire(blocking=False):  # a finalizer may be here, in code that holds it
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
        """Take a new wrapper, which shows what has been set on the first."""
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
