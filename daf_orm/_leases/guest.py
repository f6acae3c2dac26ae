"""A guest: a Django wrapper of an owner, and the driver's connection that it has for a call."""

from __future__ import annotations

import contextlib
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from django.db import DatabaseError, InterfaceError

from daf_orm._core.places import begin_waiting, end_waiting
from daf_orm._leases import reset
from daf_orm._leases.appearance import Appearance
from daf_orm._leases.cursors import FAILED, LeasedCursor, RevokedCursor, leased_kind
from daf_orm._leases.leased_wrapper import be_leased, forget_helpers
from daf_orm._leases.past_django import unwatched, watch_cursor
from daf_orm._leases.retired import RetiredGuest, ended
from daf_orm.databases import cancellation, database_of
from daf_orm.exceptions import CallCancelled

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

    from daf_orm._leases.session import Session


class Host(Protocol):
    """The owner of a wrapper."""

    lost: str
    pinned_by: Any
    last_used: dict[str, Guest]

    @property
    def name(self) -> str:
        """The owner's name in messages."""

    @property
    def ended(self) -> bool:
        """True if no more of its state will be kept."""

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The asyncio task that is the owner, if one is."""

    def discard(self, guest: Guest) -> None:
        """Forget a wrapper."""


class Guest(Appearance):
    """A Django wrapper that belongs to an owner, and has a driver's connection for a call, or for longer.

    It has been prepared, by :func:`~daf_orm._leases.leased_wrapper.be_prepared` or from a template.
    """

    def __init__(self, owner: Host, wrapper: BaseDatabaseWrapper) -> None:
        self.owner = owner
        super().__init__(wrapper)
        self.session: Session | None = None
        self.lease: Any = None
        """The lease whose connection it has."""
        self.is_taken = True
        self._looked_at: Any = None
        self.holds_transaction = False
        """True if a call has left a transaction open, for its owner to end."""
        # By the driver's cursor, since instrumentation may have made a second wrapper around one.
        self._cursors: dict[int, weakref.ref[LeasedCursor]] = {}  # those that have not been closed
        self._named: set[int] = set()  # those on the server, which last until they are closed
        self._install(wrapper)

    def _install(self, wrapper: BaseDatabaseWrapper) -> None:
        self._own_wrappers = [self._execute]
        self._database = database_of(wrapper)
        self._patience = self._database.patience(wrapper, self._is_stopping)
        if self._patience is not None:
            self._own_wrappers.append(self._patience)  # innermost: it repeats the statement alone
        wrapper.execute_wrappers += self._own_wrappers
        be_leased(wrapper, self)
        self._note_attributes()

    def retire(self) -> None:
        """Remove the wrapper's references to itself and to this guest, so that both are freed with their owner."""
        wrapper = self.wrapper
        be_leased(wrapper, RetiredGuest(self.alias, self.owner.name))
        forget_helpers(wrapper)
        if wrapper.execute_wrappers == self._own_wrappers:
            wrapper.execute_wrappers.clear()
        else:
            wrapper.execute_wrappers[:] = [each for each in wrapper.execute_wrappers if not self.is_own(each)]
        self._own_wrappers, self._patience = [], None

    @property
    def has_left_something(self) -> bool:
        """True if a call has left a cursor, a transaction or a replaced method."""
        return self.holds_transaction or self.has_open_cursors or self.is_patched

    # Called by Django

    def connect(self, connect: Callable[[], None]) -> None:
        """Get the lease's connection; open one if it has none.

        A connection whose opening was stopped is closed: a search path or a role might not have been set.
        """
        if self.session is None:
            self._attach()
            if self.wrapper.connection is not None:
                return
        assert self.session is not None
        try:
            self.session.connect(connect)
        except BaseException:
            reset.close(self.wrapper)
            raise
        self.lease.connections.configure(self.wrapper)

    def _attach(self) -> None:
        if self.owner.ended:
            raise ended(self.alias, self.owner.name)
        assert attach_here is not None
        attach_here(self)

    def commit(self, commit: Callable[[], None]) -> None:
        """Commit, unless the call has been cancelled: then raise CallCancelled, so that its block rolls back."""
        if self._is_stopping():
            raise CallCancelled("The task that wanted this commit has been cancelled; it is rolled back.")
        lease = self.lease
        if lease is not None:
            lease.committing = (self.wrapper, time.monotonic())
        try:
            if self._patience is not None:
                self._patience.wait_for_lock(commit)  # in rollback-journal mode it waits for readers
            else:
                commit()
        finally:
            if self.session is not None:
                self.session.end_transaction()
            if lease is not None:
                with cancellation.commits:  # cut_off_commits() must not see it from here on
                    lease.committing = None

    def set_autocommit(self, set_autocommit: Callable[..., None], autocommit: Any, *args: Any, **kwargs: Any) -> None:
        """Set autocommit. A block that has lost its connection ends without a new one, which would need no change."""
        wrapper = self.wrapper
        if self.session is not None:
            self.session.end_transaction()
            if not autocommit:  # a block begins with its caller's settings
                self.lease.connections.configure(wrapper)
        if (
            wrapper.connection is None
            and self.session is not None
            and autocommit == wrapper.settings_dict["AUTOCOMMIT"]
        ):
            return
        set_autocommit(autocommit, *args, **kwargs)

    def close(self, close: Callable[[], None]) -> None:
        """Close the connection. Its settings do not count as lost."""
        connection: Any = self.wrapper.connection
        with unwatched(connection):  # Django's pool calls the user's functions with returned connections
            close()
        if self.session is not None and self.wrapper.connection is None:
            self.session.forget()

    def _is_stopping(self) -> bool:
        return self.lease is not None and self.lease.is_stopping

    def _execute(self, execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        """Check a statement before it is sent. An execute wrapper."""
        cursor = context["cursor"]
        try:
            self.look_at(sql, cursor)
            self._looked_at = sql
            assert self.session is not None
            if FAILED in vars(cursor):
                self._use_again(cursor)
            place = begin_waiting()
            try:
                return self.session.execute(sql, lambda: execute(sql, params, many, context), many=bool(many))
            finally:
                end_waiting(place)
        except BaseException as error:
            if isinstance(error, DatabaseError) and self.wrapper.in_atomic_block:
                self.wrapper.needs_rollback |= self._database.aborts_transaction(error)
            # It has no rows for a later call, and lives on in the error's traceback.
            vars(cursor)[FAILED] = True
            self.forget_cursor(cursor)
            raise

    def look_again(self, sql: Any, cursor: CursorWrapper) -> None:
        """Check a statement again if execute wrappers have changed it."""
        looked_at, self._looked_at = self._looked_at, None
        if sql is not looked_at:
            self.look_at(sql, cursor)

    def look_at(self, sql: Any, cursor: CursorWrapper) -> None:
        """Check a statement before it is sent: get a connection, and keep it if the statement may change its session.

        Raises CallCancelled if the task has been cancelled, InterfaceError if the owner's session state has been lost.
        """
        if self.session is None:  # a cursor that was kept
            self._attach()
        lease, session = self.lease, self.session
        assert session is not None
        if self.owner.lost:
            message = self.owner.lost
            if self.owner.task is not None:  # a task may live for ever, and can set its state again
                self.owner.lost = ""
            raise InterfaceError(message)
        if lease.is_stopping:
            raise CallCancelled("The task that wanted this statement has been cancelled; it was not sent.")
        lease.connections.configure(self.wrapper)
        if session.look_at(sql):
            self._touch(sql, cursor)
        self.lease.sent = True

    def _touch(self, sql: Any, cursor: CursorWrapper) -> None:
        """Keep the session for the owner before it is changed."""
        before = self.session
        self.lease.keep()
        self.owner.pinned_by = self.owner.pinned_by or sql
        assert self.session is not None
        if self.session is not before:  # the call goes on on the connection with the owner's other state
            self._renew(cursor)
            self.lease.connections.configure(self.wrapper)
            self.session.look_at(sql)
        self.session.is_touched = True

    def _renew(self, cursor: CursorWrapper) -> None:
        """Move a cursor to the connection that the call has moved to."""
        is_named = getattr(cursor.cursor, "name", None)
        fresh = self.wrapper.chunked_cursor() if is_named else self.wrapper.cursor()
        self.forget_cursor(cursor)
        cursor.cursor = fresh.cursor
        self.note_cursor(cursor)

    def _use_again(self, cursor: CursorWrapper) -> None:
        """Use a cursor again for a statement after one that failed, which had removed it from the list."""
        del vars(cursor)[FAILED]
        if getattr(cursor.cursor, "connection", None) is self.wrapper.connection:
            self.note_cursor(cursor)
        else:
            self._renew(cursor)

    # Cursors

    def watch(self, wrapped: Any) -> Any:
        """Make a new Django cursor a watched one, and record it."""
        kind: Any = type(wrapped)
        if (kind := leased_kind(kind)) is not None:
            wrapped.__class__ = kind
            self.note_cursor(wrapped)
        return wrapped

    def note_cursor(self, cursor: CursorWrapper) -> None:
        if not isinstance(cursor, LeasedCursor):
            return
        cursor.daf_orm_guest = self
        inner, database = cursor.cursor, self._database
        for each in database.cursors_of(inner):
            watch_cursor(each, database.watched_of_cursor)
        number = id(inner)
        self._cursors[number] = weakref.ref(cursor)
        if getattr(inner, "name", None):
            self._named.add(number)
        elif number in self._named:  # of a cursor that was dropped, and is open on the server
            self._named.discard(number)
            if self.session is not None:
                self.session.lose_track()

    def attach(self, session: Session, lease: Any) -> None:
        """Get a connection of a lease."""
        self.session, self.lease, self.is_taken = session, lease, True
        if self._patience is not None:
            self._patience.sqlite_waits = session.sqlite_waits

    def detach(self) -> None:
        """Lose the connection."""
        if self._patience is not None and self.session is not None:
            self.session.sqlite_waits = self._patience.sqlite_waits
        self.session = self.lease = None
        if self._has_changed():
            self.owner.last_used[self.alias] = self
        self.is_taken = False

    def revoke(self) -> None:
        """Take the wrapper out of use: its owner has thrown it away."""
        self.owner.discard(self)

    def forget_cursor(self, cursor: CursorWrapper) -> None:
        """Record that a cursor has been closed."""
        self._cursors.pop(id(cursor.cursor), None)
        self._named.discard(id(cursor.cursor))

    @property
    def has_open_cursors(self) -> bool:
        """True if code has kept a cursor that it has not closed."""
        if not self._cursors:
            return False
        self._cursors = {key: cursor for key, cursor in self._cursors.items() if cursor() is not None}
        if self._named - self._cursors.keys() and self.session is not None:
            self._named.intersection_update(self._cursors)
            self.session.lose_track()
        return bool(self._cursors)

    def touch_beyond_sql(self, cursor: CursorWrapper) -> None:
        """Keep the session before a change that Django does not see."""
        if self.session is None:
            self._attach()
        before = self.session
        self.lease.keep()
        assert self.session is not None
        self.session.is_touched = True
        self.session.lose_track()
        if self.session is not before:
            self._renew(cursor)

    def use_past_django(self, sql: Any) -> None:
        """Keep the session before other code than Django's uses the driver's connection; it is closed in the end.

        Raises InterfaceError outside the owner's calls, CallCancelled if the task has been cancelled.
        """
        session, lease = self.session, self.lease
        assert session is not None
        assert is_running_here is not None
        if not is_running_here(lease):
            raise InterfaceError(
                f"The driver's connection of {self.alias!r} was used outside the calls of {self.owner.name}. "
                "Take django.db.connection.connection where you use it, and keep it no longer than the call."
            )
        if lease.is_stopping:
            raise CallCancelled("The task that wanted this statement has been cancelled; it was not sent.")
        lease.sent = True
        if session.is_server_pooled:
            if sql is not None:
                session.look_at(sql)
            return
        lease.keep()
        self.owner.pinned_by = self.owner.pinned_by or sql
        session.is_touched = True
        session.lose_track()

    @property
    def is_server_pooled(self) -> bool:
        """True if each transaction may be in another session of the server."""
        if self.session is None:
            self._attach()
        assert self.session is not None
        return self.session.is_server_pooled

    def revoke_cursors(self) -> None:
        """Close the cursors that code has kept. They raise InterfaceError from now on. Does I/O."""
        for reference in tuple(self._cursors.values()):
            if (cursor := reference()) is None:
                continue
            with contextlib.suppress(Exception):
                cursor.cursor.close()
            cursor.cursor = RevokedCursor(self.owner.name)
        self._cursors.clear()
        self._named.clear()


is_running_here: Callable[[Any], bool] | None = None
"""Returns True if this code is part of a call on the lease. ``daf_orm._django.lookup`` sets it."""
attach_here: Callable[[Guest], None] | None = None
"""Gives a wrapper the connection of the call that uses it. ``daf_orm._django.lookup`` sets it."""
