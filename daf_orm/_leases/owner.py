"""Who a connection's state belongs to, and the wrappers of Django's that it has.

Django's code finds one ``DatabaseWrapper`` per request: attributes, execute wrappers and query logs set on it are there
in the request's next call, and in no other request. So a wrapper belongs to its :class:`Owner` and is never lent again;
what is lent, call by call, is the driver's connection. The owner has a second wrapper while two of its calls run at
once.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError, InterfaceError
from django.db.backends.utils import CursorWrapper
from django.utils.functional import cached_property

from daf_orm._core.places import begin_waiting, end_waiting
from daf_orm._leases import reset
from daf_orm._leases.carrying import CannotCarry, carried
from daf_orm._leases.past_django import unwatched, watch_cursor
from daf_orm._leases.session import lease_settings
from daf_orm.databases import database_of
from daf_orm.databases.cancellation import COMMITS
from daf_orm.exceptions import CallCancelled

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from concurrent.futures import Executor

    from django.db.backends.base.base import BaseDatabaseWrapper

    from daf_orm._leases.session import Session


class Owner:
    """A request, a ``ThreadSensitiveContext``, a background task; or else an asyncio task."""

    def __init__(
        self, name: str = "", *, task: asyncio.Task[Any] | None = None, executor: Executor | None = None
    ) -> None:
        self._name = name
        self.pinned: Any = None
        """The lease that it keeps until it ends."""
        self.was_pinned = False
        self.executor = executor
        """The one thread for all of its calls, where it has one."""
        self.kept: dict[str, Any] = {}
        """How it has left a connection that it borrowed, by alias."""
        self.last_used: dict[str, Guest] = {}
        """The wrapper that was used last, by alias: what has been set on it, others show."""
        self.lost = ""
        """What was lost with a connection that it kept: a request may not go on without, a task is told once."""
        self._task = weakref.ref(task) if task is not None else None
        self._ended = False
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
            guest.look_like(self.last_used[alias])
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
        with self._lock:
            self._guests[guest.wrapper.alias].remove(guest)


class Guest:
    """A wrapper of Django's that belongs to an owner, and has a driver's connection for a call, or for longer."""

    def __init__(self, owner: Owner, wrapper: BaseDatabaseWrapper) -> None:
        self.owner = owner
        self.wrapper = wrapper
        self.session: Session | None = None
        self.lease: Any = None
        """The lease whose connection it has."""
        self.is_taken = True
        self._shown: Any = None
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
        self._connect, self._commit_now, self._set = wrapper.connect, wrapper.commit, wrapper.set_autocommit
        self._close = wrapper.close
        self._make_cursor, self._make_debug_cursor = wrapper.make_cursor, wrapper.make_debug_cursor
        self._database = database_of(wrapper)
        self._patience = self._database.patience(wrapper, self._is_stopping)
        if self._patience is not None:
            wrapper.execute_wrappers.append(self._patience)  # innermost: what it repeats is the statement alone
        patches: dict[str, Any] = {
            "connect": self._connect_wholly,
            "commit": self._commit,
            "set_autocommit": self._set_autocommit,
            "close": self._close_on_purpose,
            "close_if_unusable_or_obsolete": _leave_to_the_pool,
            "make_cursor": self._leased_cursor,
            "make_debug_cursor": self._leased_debug_cursor,
            "daf_orm_guest": self,
        }
        values = vars(wrapper)
        values.update(patches)
        self._own = _own_names(type(wrapper), len(values), values)
        self.number_of_attributes = len(values)
        """Of the wrapper: how many it has if code has set none."""

    # What the owner sets on it

    def look_like(self, first: Guest) -> None:
        """Show what the owner has set on another of its wrappers."""
        if first is self:
            self._shown = self.shows()
            return
        ours, theirs = self.wrapper, first.wrapper
        own = [each for each in ours.execute_wrappers if self.is_own(each)]
        ours.execute_wrappers[:] = (
            own[:1] + [each for each in tuple(theirs.execute_wrappers) if not first.is_own(each)] + own[1:]
        )
        ours.settings_dict, ours.queries_log = theirs.settings_dict, theirs.queries_log
        ours.force_debug_cursor = theirs.force_debug_cursor
        vars(ours).update(self._carried_from(first))
        self._shown = self.shows()

    def _carried_from(self, first: Guest) -> dict[str, Any]:
        others = {id(first): self, id(first.wrapper): self.wrapper}
        additions = first.additions()
        for name, value in tuple(additions.items()):
            if not callable(value):
                continue
            try:
                additions[name] = carried(value, others)
            except CannotCarry:  # it would use the other's connection, which another thread has
                del additions[name]
        return additions

    def note_what_it_shows(self) -> None:
        """From now on there are two of the owner's: what is set on this one, the other has to show."""
        self._shown = self.shows()

    def shows(self) -> tuple[Any, ...]:
        """Return what the owner has set on it."""
        wrappers = [each for each in tuple(self.wrapper.execute_wrappers) if not self.is_own(each)]
        return self.additions(), wrappers, self.wrapper.force_debug_cursor

    def is_own(self, execute_wrapper: Any) -> bool:
        """Whether an execute wrapper is DAF's."""
        return execute_wrapper == self._execute or execute_wrapper is self._patience

    def additions(self) -> dict[str, Any]:
        """Return the attributes that it had not at first, or that are plain values and may have been changed."""
        return {
            name: value
            for name, value in vars(self.wrapper).copy().items()  # another thread may be using it
            if (name not in self._own or isinstance(value, _PLAIN)) and name not in _STATE and not self._is_cached(name)
        }

    def _is_cached(self, name: str) -> bool:
        return isinstance(getattr(type(self.wrapper), name, None), cached_property)

    @property
    def has_left_something(self) -> bool:
        """Whether a call has left a cursor, a transaction or a method of its own on it."""
        return self.holds_transaction or self.has_open_cursors or self.is_patched

    @property
    def is_patched(self) -> bool:
        """Whether code has replaced a method of this one wrapper by one that a second wrapper cannot have."""
        values = vars(self.wrapper)
        if len(values) == self.number_of_attributes:
            return False
        kind: Any = type(self.wrapper)
        replaced = [values[name] for name in values.keys() - self._own if _is_method(kind, name)]
        if not replaced:
            self.number_of_attributes = len(values)
        return any(callable(method) and not self._can_carry(method) for method in replaced)

    def _can_carry(self, method: Any) -> bool:
        try:
            carried(method, {id(self): object(), id(self.wrapper): object()})
        except CannotCarry:
            return False
        return True

    # What Django calls

    def _connect_wholly(self) -> None:
        """Have the lease's connection; open one if it has none.

        No connection is kept that was stopped halfway: a search path or a role that was to be set would be missing.
        """
        if self.session is None:
            self._attach()
            if self.wrapper.connection is not None:
                return
        assert self.session is not None
        try:
            self.session.connect(self._connect)
        except BaseException:
            reset.close(self.wrapper)
            raise
        self.lease.connections.configure(self.wrapper)

    def _attach(self) -> None:
        if self.owner.ended:
            raise InterfaceError(
                f"Connection {self.wrapper.alias!r} of {self.owner.name} was used after that had ended. Take "
                "django.db.connection where you query, and keep no connection, cursor or iterator for later."
            )
        assert attach_here is not None
        attach_here(self)

    def _commit(self) -> None:
        """Let no commit follow the cancellation of the call it belongs to: the block it ends rolls back instead."""
        if self._is_stopping():
            raise CallCancelled("The task that wanted this commit has been cancelled; it is rolled back.")
        lease = self.lease
        if lease is not None:
            lease.committing = (self.wrapper, time.monotonic())
        try:
            if self._patience is not None:
                self._patience.wait_for_lock(self._commit_now)  # in rollback-journal mode it waits for readers
            else:
                self._commit_now()
        finally:
            if self.session is not None:
                self.session.end_transaction()
            if lease is not None:
                with COMMITS:  # from here on it must not be cut off
                    lease.committing = None

    def _set_autocommit(self, autocommit: Any, *args: Any, **kwargs: Any) -> None:
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
        self._set(autocommit, *args, **kwargs)

    def _close_on_purpose(self) -> None:
        """Close the connection. What had been set on it has not been lost."""
        connection: Any = self.wrapper.connection
        with unwatched(connection):  # Django's pool calls functions of the user's with what it gets back
            self._close()
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
            if _FAILED in vars(cursor):
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
            vars(cursor)[_FAILED] = True
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
        del vars(cursor)[_FAILED]
        if getattr(cursor.cursor, "connection", None) is self.wrapper.connection:
            self.note_cursor(cursor)
        else:
            self._renew(cursor)

    # Cursors

    def _leased_cursor(self, cursor: Any) -> Any:
        return self._watch(self._make_cursor(cursor))

    def _leased_debug_cursor(self, cursor: Any) -> Any:
        return self._watch(self._make_debug_cursor(cursor))

    def _watch(self, wrapped: Any) -> Any:
        kind: Any = type(wrapped)
        if (kind := _leased_kind(kind)) is not None:
            wrapped.__class__ = kind
            self.note_cursor(wrapped)
        return wrapped

    def note_cursor(self, cursor: CursorWrapper) -> None:
        if not isinstance(cursor, LeasedCursor):
            return
        vars(cursor)["daf_orm_guest"] = self
        for each in self._database.cursors_of(cursor.cursor):
            watch_cursor(each, self._database.watched_of_cursor)
        number = id(cursor.cursor)
        self._cursors[number] = weakref.ref(cursor)
        if getattr(cursor.cursor, "name", None):
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
        if self._shown is not None and self._shown != self.shows():
            self.owner.last_used[self.wrapper.alias] = self
        self.is_taken = False

    def revoke(self) -> None:
        """Let nobody have it again: its owner has thrown it away."""
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
                f"The driver's connection of {self.wrapper.alias!r} was used outside the calls of {self.owner.name}. "
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
            cursor.cursor = _Revoked(self.owner.name)
        self._cursors.clear()
        self._named.clear()


is_running_here: Callable[[Any], bool] | None = None
"""Whether a call on a lease is what runs here; ``daf_orm._django.connections`` puts it here."""
attach_here: Callable[[Guest], None] | None = None
"""How a wrapper gets the connection of the call that uses it; ``daf_orm._django.connections`` puts it here."""


class LeasedCursor(CursorWrapper):
    """A cursor of Django's on a leased connection, which knows when it is closed.

    Instrumentation may make one of a subclass that it derives from ours, around the same cursor of the driver's.
    """

    def __init__(self, cursor: Any, db: Any) -> None:
        super().__init__(cursor, db)
        guest: Guest | None = vars(db).get("daf_orm_guest")
        if guest is not None:
            guest.note_cursor(self)

    def _execute(self, sql: Any, params: Any, *ignored: Any) -> Any:
        vars(self)["daf_orm_guest"].look_again(sql, self)
        return super()._execute(sql, params, *ignored)  # type: ignore[misc] # the stubs leave it out

    def _executemany(self, sql: Any, param_list: Any, *ignored: Any) -> Any:
        vars(self)["daf_orm_guest"].look_again(sql, self)
        return super()._executemany(sql, param_list, *ignored)  # type: ignore[misc] # the stubs leave it out

    def close(self) -> None:
        """Close it."""
        guest: Guest = vars(self)["daf_orm_guest"]
        guest.forget_cursor(self)
        vars(self).pop(_FAILED, None)  # it is to be used no more
        self.cursor.close()

    def look_at_copy(self, sql: Any) -> None:
        """Do for a COPY, which the driver sends, what is done for every statement that Django sends."""
        guest: Guest = vars(self)["daf_orm_guest"]
        guest.look_at(sql, self)
        if guest.session is not None and guest.session.is_server_pooled:
            guest.session.begin_copy()

    def callproc(self, *args: Any, **kwargs: Any) -> Any:
        """Call a procedure, which may leave anything on the session."""
        guest: Guest = vars(self)["daf_orm_guest"]
        call = functools.partial(super().callproc, *args, **kwargs)
        if guest.is_server_pooled:
            guest.look_at(f"SELECT {args[0] if args else ''}()", self)
            assert guest.session is not None
            return guest.session.execute("SELECT", call, many=True)
        guest.touch_beyond_sql(self)
        return call()

    def __getattr__(self, name: str) -> Any:
        if name in _PAST_DJANGO:
            guest: Guest = vars(self)["daf_orm_guest"]
            if guest.is_server_pooled:
                return functools.partial(self._send_past_django, name)
            guest.touch_beyond_sql(self)
        return super().__getattr__(name)

    def _send_past_django(self, name: str, sql: Any, *args: Any, **kwargs: Any) -> Any:
        self.look_at_copy(sql)
        return super().__getattr__(name)(sql, *args, **kwargs)


class _Revoked:
    """In the place of a driver's cursor whose connection is another's by now."""

    def __init__(self, owner: str) -> None:
        self._message = (
            f"A cursor that {owner} had opened was used after that had ended: its connection serves others. Close "
            "cursors where you open them: `with connection.cursor() as cursor`."
        )

    def __getattr__(self, name: str) -> Any:
        if name == "close":
            return lambda: None
        raise InterfaceError(self._message)

    def __iter__(self) -> Any:
        raise InterfaceError(self._message)


@functools.cache
def _leased_kind(kind: type[Any]) -> type[Any] | None:
    """Return the class of a cursor that is watched; None for one that cannot be."""
    if not issubclass(kind, CursorWrapper) or issubclass(kind, LeasedCursor):
        return None
    return LeasedCursor if kind is CursorWrapper else type(kind.__name__, (LeasedCursor, kind), {})


_FAILED: Final = "daf_orm_failed"
_PAST_DJANGO: Final = frozenset({"copy", "stream", "copy_expert", "copy_from", "copy_to"})
"""Methods of drivers' cursors that send statements. Not ``connection``: instrumentation reads it at every statement."""
_PLAIN: Final = (str, int, float, bytes, type(None), tuple, frozenset)
_STATE: Final = frozenset(
    """
    connection settings_dict alias queries_log force_debug_cursor autocommit in_atomic_block savepoint_state
    commit_on_exit needs_rollback rollback_exc close_at closed_in_transaction errors_occurred health_check_enabled
    health_check_done _thread_sharing_count _thread_ident run_commit_hooks_on_set_autocommit_on _named_cursor_idx
    """.split()
)
"""Attributes of a wrapper that are about its present transaction and connection."""


_names: dict[tuple[type[Any], int], frozenset[str]] = {}


def _own_names(kind: type[Any], number: int, values: dict[str, Any]) -> frozenset[str]:
    """Return the names of a new wrapper's attributes, the same for each of its class."""
    if (names := _names.get((kind, number))) is None:
        names = _names[kind, number] = frozenset(values)
    return names


@functools.lru_cache(maxsize=1024)
def _is_method(kind: type[Any], name: str) -> bool:
    return callable(getattr(kind, name, None))


def _leave_to_the_pool() -> None:
    """Keep ``close_old_connections()``, which libraries call around their queries, from ending a transaction."""
