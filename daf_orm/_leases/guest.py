"""A wrapper of Django's, and the driver's connection that it has for a call."""

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
from daf_orm._leases.leased_wrapper import be_leased, forget_helpers, lease_settings
from daf_orm._leases.past_django import unwatched, watch_cursor
from daf_orm._leases.retired import RetiredGuest, ended
from daf_orm.databases import database_of
from daf_orm.databases.cancellation import COMMITS
from daf_orm.exceptions import CallCancelled

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

    from daf_orm._leases.session import Session


class Host(Protocol):
    """Whose the wrapper is: an owner."""

    lost: str
    last_used: dict[str, Guest]

    @property
    def name(self) -> str:
        """Who it is, for messages."""

    @property
    def ended(self) -> bool:
        """Whether nothing of it will be kept any more."""

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The task that it is, if it is one."""

    def discard(self, guest: Guest) -> None:
        """Forget a wrapper."""


class Guest(Appearance):
    """A wrapper of Django's that belongs to an owner, and has a driver's connection for a call, or for longer."""

    def __init__(self, owner: Host, wrapper: BaseDatabaseWrapper) -> None:
        self.owner = owner
        super().__init__(wrapper)
        self.session: Session | None = None
        self.lease: Any = None
        """The lease whose connection it has."""
        self.is_taken = True
        self._looked_at: Any = None
        self.holds_transaction = False
        """Whether a call has left a transaction open, for its owner to end."""
        # By the drivers' cursors: of one, instrumentation may have made a second wrapper.
        self._cursors: dict[int, weakref.ref[LeasedCursor]] = {}  # those that have not been closed
        self._named: set[int] = set()  # of those, the server's own, which last until they are closed
        self._install(wrapper)

    def _install(self, wrapper: BaseDatabaseWrapper) -> None:
        wrapper.inc_thread_sharing()  # any thread may use it from now on, one at a time
        wrapper.settings_dict = lease_settings(wrapper)
        wrapper.execute_wrappers.append(self._execute)
        self._database = database_of(wrapper)
        self._patience = self._database.patience(wrapper, self._is_stopping)
        if self._patience is not None:
            wrapper.execute_wrappers.append(self._patience)  # innermost: what it repeats is the statement alone
        be_leased(wrapper, self)
        self._note_attributes()

    def retire(self) -> None:
        """Its owner has ended: let nothing of the wrapper refer to it, so that both are freed at once."""
        be_leased(self.wrapper, RetiredGuest(self.alias, self.owner.name))
        forget_helpers(self.wrapper)
        self.wrapper.execute_wrappers[:] = [each for each in self.wrapper.execute_wrappers if not self.is_own(each)]
        self._first_wrappers, self._patience = [], None

    def is_own(self, execute_wrapper: Any) -> bool:
        """Whether an execute wrapper is DAF's."""
        return execute_wrapper == self._execute or execute_wrapper is self._patience

    @property
    def has_left_something(self) -> bool:
        """Whether a call has left a cursor, a transaction or a method of its own on it."""
        return self.holds_transaction or self.has_open_cursors or self.is_patched

    # What Django calls

    def connect(self, connect: Callable[[], None]) -> None:
        """Have the lease's connection; open one if it has none.

        No connection is kept that was stopped halfway: a search path or a role that was to be set would be missing.
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
        """Let no commit follow the cancellation of the call it belongs to: the block it ends rolls back instead."""
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
                with COMMITS:  # from here on it must not be cut off
                    lease.committing = None

    def set_autocommit(self, set_autocommit: Callable[..., None], autocommit: Any, *args: Any, **kwargs: Any) -> None:
        """Let a block that has lost its connection end without a new one, which would only be put in the same state."""
        wrapper = self.wrapper
        if self.session is not None:
            self.session.end_transaction()
            if not autocommit:  # a block begins with what its caller wants now
                self.lease.connections.configure(wrapper)
        if (
            wrapper.connection is None
            and self.session is not None
            and autocommit == wrapper.settings_dict["AUTOCOMMIT"]
        ):
            return
        set_autocommit(autocommit, *args, **kwargs)

    def close(self, close: Callable[[], None]) -> None:
        """Close the connection. What had been set on it has not been lost."""
        connection: Any = self.wrapper.connection
        with unwatched(connection):  # Django's pool calls functions of the user's with what it gets back
            close()
        if self.session is not None and self.wrapper.connection is None:
            self.session.forget()

    def _is_stopping(self) -> bool:
        return self.lease is not None and self.lease.is_stopping

    def _execute(self, execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        """Look at a statement, as an execute wrapper."""
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
        """Look at what execute wrappers have made of a statement, if they have."""
        looked_at, self._looked_at = self._looked_at, None
        if sql is not looked_at:
            self.look_at(sql, cursor)

    def look_at(self, sql: Any, cursor: CursorWrapper) -> None:
        """Before a statement is sent: have a connection for it, and keep that if the statement may change its session.

        Raises CallCancelled if its task has been cancelled, InterfaceError if what the owner had set has been lost.
        """
        if self.session is None:  # a cursor that was kept
            self._attach()
        lease, session = self.lease, self.session
        assert session is not None
        if self.owner.lost:
            message = self.owner.lost
            if self.owner.task is not None:  # one that may live for ever, and can set it again
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
        assert self.session is not None
        if self.session is not before:  # the call goes on where the owner's other state is
            self._renew(cursor)
            self.lease.connections.configure(self.wrapper)
            self.session.look_at(sql)
        self.session.is_touched = True

    def _renew(self, cursor: CursorWrapper) -> None:
        """Let a cursor be one of the connection that the call has gone on on."""
        is_named = getattr(cursor.cursor, "name", None)
        fresh = self.wrapper.chunked_cursor() if is_named else self.wrapper.cursor()
        self.forget_cursor(cursor)
        cursor.cursor = fresh.cursor
        self.note_cursor(cursor)

    def _use_again(self, cursor: CursorWrapper) -> None:
        """Let a cursor whose statement has failed, and that has been forgotten for it, execute another one."""
        del vars(cursor)[FAILED]
        if getattr(cursor.cursor, "connection", None) is self.wrapper.connection:
            self.note_cursor(cursor)
        else:
            self._renew(cursor)

    # Cursors

    def watch(self, wrapped: Any) -> Any:
        """Let a new cursor of Django's be one that is known."""
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
        elif number in self._named:  # of one that was dropped, and is open on the server
            self._named.discard(number)
            if self.session is not None:
                self.session.lose_track()

    def attach(self, session: Session, lease: Any) -> None:
        """Have a connection of a lease's."""
        self.session, self.lease, self.is_taken = session, lease, True
        if self._patience is not None:
            self._patience.sqlite_waits = session.sqlite_waits

    def detach(self) -> None:
        """Have none any more."""
        if self._patience is not None and self.session is not None:
            self.session.sqlite_waits = self._patience.sqlite_waits
        self.session = self.lease = None
        if self._has_changed():
            self.owner.last_used[self.alias] = self
        self.is_taken = False

    def revoke(self) -> None:
        """Never be lent again: its owner has thrown it away."""
        self.owner.discard(self)

    def forget_cursor(self, cursor: CursorWrapper) -> None:
        """Take note that a cursor has been closed."""
        self._cursors.pop(id(cursor.cursor), None)
        self._named.discard(id(cursor.cursor))

    @property
    def has_open_cursors(self) -> bool:
        """Whether code has kept a cursor that it has not closed."""
        if not self._cursors:
            return False
        self._cursors = {key: cursor for key, cursor in self._cursors.items() if cursor() is not None}
        if self._named - self._cursors.keys() and self.session is not None:
            self._named.intersection_update(self._cursors)
            self.session.lose_track()
        return bool(self._cursors)

    def touch_beyond_sql(self, cursor: CursorWrapper) -> None:
        """Keep the session: what is done to it next is not seen by Django."""
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
        """Before code uses the driver's connection by itself: keep the session, and close the connection in the end."""
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
        session.is_touched = True
        session.lose_track()

    @property
    def is_server_pooled(self) -> bool:
        """Whether each transaction may be in another session of the server's."""
        if self.session is None:
            self._attach()
        assert self.session is not None
        return self.session.is_server_pooled

    def revoke_cursors(self) -> None:
        """Close the cursors that have been kept. They raise InterfaceError from now on. Does I/O."""
        for reference in tuple(self._cursors.values()):
            if (cursor := reference()) is None:
                continue
            with contextlib.suppress(Exception):
                cursor.cursor.close()
            cursor.cursor = RevokedCursor(self.owner.name)
        self._cursors.clear()
        self._named.clear()


is_running_here: Callable[[Any], bool] | None = None
"""Whether a call on a lease is what runs here; ``daf_orm._django.lookup`` puts it here."""
attach_here: Callable[[Guest], None] | None = None
"""How a wrapper gets the connection of the call that uses it; ``daf_orm._django.lookup`` puts it here."""
