"""The unit that the pool lends: one driver's connection per alias, and the wrappers that use them at present."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any

from django.db import connections as django_connections
from django.db.transaction import TransactionManagementError

from daf_orm._core.call_thread import CallThread
from daf_orm._leases import reset
from daf_orm._leases.borrowed_session import BorrowedSession
from daf_orm._leases.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper

    from daf_orm._core.places import Places
    from daf_orm._leases.guest import Guest
    from daf_orm._leases.owner import Owner

logger = logging.getLogger("daf_orm")
_LOST = (
    "The connection {alias!r} of {owner} was lost, and with it the state that was set there: a role, a search path, a "
    "lock or other settings. Set it again, or end the request."
)


class ConnectionSet:
    """One connection per alias, each opened on first use and kept from lease to lease."""

    def __init__(
        self,
        *,
        max_lifetime: float = 3600.0,
        max_idle: float = 600.0,
        configuration: Callable[[], Mapping[str, Any]] | None = None,
        server_pooled: bool = False,
        places: Places,
    ) -> None:
        self.wrappers: dict[str, BaseDatabaseWrapper] = {}
        """The wrappers that have one of the set's connections at present."""
        self.thread = CallThread(places)
        """The thread of its calls. Code may keep values in its ``threading.local``, as django-cachalot does."""
        self.idle_since = 0.0
        self.needs_cleaning = False
        """True if its last lease could not be cleaned at its end."""
        self._sessions: dict[str, Session] = {}
        self._guests: dict[str, Guest] = {}
        self._begun: set[str] = set()  # aliases whose connection this lease has used
        self._with_cursors: set[Guest] = set()  # have kept a cursor, and may have no connection between two calls
        self._borrowed: dict[str, tuple[BorrowedSession, int, Owner]] = {}  # with the atomic depth at the time
        self._on_return: Callable[[], None] | None = None
        self._expires: dict[str, tuple[float, float]] = {}  # alias -> (time opened, time to close)
        self._used: dict[str, float] = {}  # alias -> time of last use
        self._max_lifetime = max_lifetime
        self._max_idle = max_idle
        self._configuration = configuration
        self._server_pooled = server_pooled

    # A wrapper's turn

    def attach(self, alias: str, guest: Guest, lease: Any) -> bool:
        """Give a wrapper the alias's connection. False if that had died while idle, and will be opened anew."""
        session = self._session(alias, guest.wrapper)
        if session.wrapper is not None:
            self._detach(alias)
        session.attach(guest.wrapper)
        guest.attach(session, lease)
        self.wrappers[alias], self._guests[alias] = guest.wrapper, guest
        if alias in self._begun:
            self.configure(guest.wrapper)
            return True
        self._begun.add(alias)
        if alias in self._used and time.monotonic() - self._used[alias] > self._max_idle:
            reset.close(guest.wrapper)
        healthy = session.start_lease()
        self.configure(guest.wrapper)
        return healthy

    def _session(self, alias: str, wrapper: BaseDatabaseWrapper) -> Session:
        session = self._sessions.get(alias)
        if session is not None and session.settings["NAME"] != wrapper.settings_dict["NAME"]:
            self._drop(alias)  # a test runner has renamed the database in place
            session = None
        if session is None:
            session = self._sessions[alias] = Session(
                wrapper, django_connections.settings.get(alias), server_pooled=self._server_pooled
            )
        return session

    def new_guest(self, alias: str, owner: Owner) -> Guest | None:
        """Return a new wrapper for the owner; None if Django has to make it."""
        session = self._sessions.get(alias)
        if session is None or (entry := django_connections.settings.get(alias)) is None:
            return None
        wrapper = session.new_wrapper(entry)
        return None if wrapper is None else owner.add(alias, wrapper)

    def _detach(self, alias: str) -> Guest:
        guest = self._guests.pop(alias)
        if guest.wrapper.in_atomic_block:
            self._guests[alias] = guest
            raise TransactionManagementError(
                f"Connection {alias!r} is in an atomic block of {guest.owner.name}, and can serve no other call."
            )
        del self.wrappers[alias]
        if guest.has_open_cursors:
            self._with_cursors.add(guest)
        guest.detach()
        self._sessions[alias].detach()
        self._used[alias] = time.monotonic()
        return guest

    def take_guests(self) -> list[Guest]:
        """Take the connections from their wrappers, which the running call still uses."""
        guests = [self._detach(alias) for alias in tuple(self._guests)]
        for guest in guests:
            guest.is_taken = True
            self._with_cursors.discard(guest)  # its cursor goes with it
        return guests

    def borrow(
        self, alias: str, wrapper: BaseDatabaseWrapper, owner: Owner, on_return: Callable[[], None] | None = None
    ) -> None:
        """Use a connection of another owner, and restore it afterwards: in-memory SQLite has only one.

        ``on_return`` is called when the last borrowed connection has been returned.
        """
        self._on_return = on_return
        if alias not in self._borrowed:
            session = BorrowedSession(wrapper, owner.kept.get(alias))
            wrapper.inc_thread_sharing()
            self._borrowed[alias] = session, len(wrapper.atomic_blocks), owner
        self.wrappers[alias] = wrapper

    @property
    def has_borrowed(self) -> bool:
        """True while a borrowed connection is in use."""
        return bool(self._borrowed)

    # While it is lent

    def own(self) -> list[BaseDatabaseWrapper]:
        """Return the connections in use that DAF may stop and close: all but the borrowed ones."""
        return [wrapper for alias, wrapper in tuple(self.wrappers.items()) if alias not in self._borrowed]

    def open_aliases(self) -> list[str]:
        """Return the aliases that have an open connection of this set."""
        return [session.alias for session in tuple(self._sessions.values()) if session.is_open]

    def make_ready(self) -> None:
        """Clean the connections before a lease's first call, if the last lease could not be cleaned."""
        if self.needs_cleaning:
            self.needs_cleaning = False
            self.clean("a lease that could not be ended")

    def is_in_transaction(self) -> bool:
        """Return True if a transaction is open on a connection in use, begun by Django or by SQL."""
        return any(reset.is_in_transaction(wrapper) for wrapper in self.wrappers.values() if wrapper.connection)

    def configure(self, wrapper: BaseDatabaseWrapper | None = None) -> None:
        """Apply the settings of ``CONFIGURE`` for the running call, to one open connection or all that are in use.

        Raises TransactionManagementError if an open atomic block began with other settings.
        """
        if self._configuration is None:
            return
        values = self._configuration() or {}
        for alias, guest in tuple(self._guests.items()):
            session = self._sessions[alias]
            if guest.wrapper.connection is None or (wrapper is not None and wrapper is not guest.wrapper):
                continue
            if not reset.is_in_transaction(guest.wrapper):
                session.configure(values)
            elif session.lacks(values):
                raise TransactionManagementError(
                    f"DAF_ORM['CONFIGURE'] wants other settings for {alias!r} than its atomic block began with: "
                    f"{', '.join(session.lacks(values))}. End the block first, or set them inside it by SET LOCAL."
                )

    def forget(self, alias: str) -> None:
        """Let the alias's next use begin with a new wrapper, as ``del connections[alias]`` does."""
        if alias in self._guests:
            self._guests[alias].revoke()
            self._drop(alias)

    # Its end

    def leave_untouched(self) -> bool:
        """Prepare the connections for the next lease without cleaning, after a call that has changed none of them.

        Return False, and do nothing, if a call may have changed one. No I/O.
        """
        if self._borrowed or self._with_cursors or self.needs_cleaning:
            return False
        for alias, session in self._sessions.items():
            guest = self._guests.get(alias)
            if guest is None:
                if session.needs_cleaning or self._is_idle(alias):
                    return False
            elif guest.has_left_something or not session.is_untouched() or self._is_due(alias, guest.wrapper):
                return False
        for alias in tuple(self._guests):
            self._sessions[alias].end_lease()
            self._detach(alias)
        self._begun.clear()
        return True

    def rest(self, origin: object, *, keeps_transactions: bool = False) -> tuple[bool, bool]:
        """End a call's transaction. Return two values: False if it had to be repaired; True if the owner keeps the set.

        ``keeps_transactions``: a later call of the owner may end a transaction that this call has left open.
        """
        healthy, stays = True, False
        for alias, wrapper in tuple(self.wrappers.items()):
            if alias in self._borrowed:  # it is restored after each call: other owners use it too
                continue
            guest, session = self._guests[alias], self._sessions[alias]
            guest.holds_transaction = (keeps_transactions or guest.holds_transaction) and reset.is_in_transaction(
                wrapper
            )
            if guest.holds_transaction:
                stays = True
                continue
            was_touched = session.is_touched
            healthy &= reset.clean(wrapper, origin=origin, keeps_session=was_touched)
            if wrapper.connection is None:
                if was_touched:
                    guest.owner.lost = _LOST.format(owner=guest.owner.name, alias=alias)
                session.forget()
                continue
            session.forget_undone()
            session.is_touched = session.is_touched or session.has_other_options
            if session.is_touched or guest.is_patched or guest.has_open_cursors:
                stays = True
        if self._with_cursors:
            self._with_cursors = {guest for guest in self._with_cursors if guest.has_open_cursors}
        return healthy, stays or bool(self._with_cursors) or any(s.is_touched for s in self._sessions.values())

    def lay_down(self) -> None:
        """Take the connections from their wrappers between two calls on a pinned lease. Wrappers stay the owner's."""
        for alias in tuple(self._borrowed):
            self._give_back(alias)
        for alias, guest in tuple(self._guests.items()):
            if not guest.holds_transaction:
                self._detach(alias)

    def clean(self, origin: object, *, is_rested: bool = False) -> bool:
        """Clean every connection for the next lease. False if one had to be repaired or closed.

        ``is_rested``: :meth:`rest` has just ended the transactions.
        """
        healthy = True
        while self._with_cursors:
            self._with_cursors.pop().revoke_cursors()
        for alias, wrapper in tuple(self.wrappers.items()):
            if alias in self._borrowed:
                healthy &= self._give_back(alias)
                continue
            guest = self._guests[alias]
            if guest.has_open_cursors:
                guest.revoke_cursors()
            if not is_rested or guest.holds_transaction:
                guest.holds_transaction = False
                healthy &= reset.clean(wrapper, origin=origin)
            healthy &= self._clean_session(alias, wrapper)
            if self._is_due(alias, wrapper):
                reset.close(wrapper)
            self._detach(alias)
        for alias, session in tuple(self._sessions.items()):
            if session.needs_cleaning:  # of a pinned lease
                with session.housekeeping() as wrapper:
                    healthy &= reset.clean(wrapper, origin=origin) & self._clean_session(alias, wrapper)
            if alias not in self._begun:
                self._drop_if_idle(alias)
        self._begun.clear()
        return healthy

    def _drop_if_idle(self, alias: str) -> None:
        """Close a connection that has not been used for too long, or whose alias has been removed."""
        if self._is_idle(alias):
            self._drop(alias)

    def _is_idle(self, alias: str) -> bool:
        is_idle = time.monotonic() - self._used.get(alias, 0.0) > self._max_idle
        return is_idle or alias not in django_connections.settings

    def _clean_session(self, alias: str, wrapper: BaseDatabaseWrapper) -> bool:
        """Remove the owner's session state. False if that failed, so that the connection was closed."""
        try:
            if not self._sessions[alias].clean():
                reset.close(wrapper)
        except Exception:
            logger.warning("Connection %r could not be reset and is closed.", wrapper.alias, exc_info=True)
            reset.close(wrapper)
            return False
        return True

    def close(self) -> None:
        """Close all connections of the set permanently."""
        self.thread.shutdown(wait=False)
        for alias in tuple(self._borrowed):
            self._give_back(alias)
        for alias in tuple(self._sessions):
            self._drop(alias)

    def leave_to_parent(self) -> None:
        """Forget the idle connections in the child of a fork: they are the parent process's."""
        for session in self._sessions.values():
            session.leave_to_parent()

    def _give_back(self, alias: str) -> bool:
        wrapper, (session, depth, owner) = self.wrappers.pop(alias), self._borrowed.pop(alias)
        wrapper.dec_thread_sharing()
        healthy = reset.leave_blocks(wrapper, depth)
        try:
            try:
                owner.kept[alias] = session.leave()
            finally:
                session.restore()
        except Exception:
            logger.warning("Connection %r could not be restored.", wrapper.alias, exc_info=True)
        if not self._borrowed and self._on_return is not None:
            on_return, self._on_return = self._on_return, None
            on_return()
        return healthy

    def _drop(self, alias: str) -> None:
        if alias in self._guests:
            reset.close(self._guests[alias].wrapper)
            self._detach(alias)
        session = self._sessions.pop(alias)
        self._expires.pop(alias, None)
        if session.is_open:
            with session.housekeeping() as wrapper:
                reset.close_permanently(wrapper)

    def _is_due(self, alias: str, wrapper: BaseDatabaseWrapper) -> bool:
        """Return True if the connection has reached its maximum age, or belongs to the pool of ``OPTIONS["pool"]``."""
        if wrapper.connection is None:
            return False
        if wrapper.settings_dict["OPTIONS"].get("pool") or alias not in django_connections.settings:
            return True
        opened, expires = self._expires.get(alias, (-1.0, 0.0))
        if opened != self._sessions[alias].opened:
            jitter = random.uniform(0.9, 1.0)  # noqa: S311 - spreads reconnects, keeps no secret
            opened = self._sessions[alias].opened
            expires = opened + self._max_lifetime * jitter
            self._expires[alias] = (opened, expires)
        return time.monotonic() >= expires
