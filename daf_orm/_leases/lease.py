"""A lease: one set of database connections, lent to a task.

The problem: Django ties a connection to a thread, and async code changes threads at every hop. The mechanism: the
connections belong to a :class:`Lease`; the task that holds one has it in a context variable, as a :class:`Scope`;
``daf_orm._django.connections`` makes ``django.db.connections`` look there. The invariant: a lease's connections are
used by one call at a time, and by no task that is outside the innermost atomic block open on them.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from django.db import InterfaceError
from django.db import connections as django_connections
from django.db.transaction import TransactionManagementError

from daf_orm._core.locks import FifoLock
from daf_orm._leases import reset
from daf_orm._leases.session import BorrowedSession, Session
from daf_orm.databases import sqlite
from daf_orm.exceptions import CallCancelled

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from django.db.backends.base.base import BaseDatabaseWrapper

    from daf_orm._core.call_site import CallSite


logger = logging.getLogger("daf_orm")


class ConnectionSet:
    """What the pool lends: one connection per alias, each opened on first use and kept from lease to lease."""

    def __init__(self, *, max_lifetime: float = 3600.0) -> None:
        self.wrappers: dict[str, BaseDatabaseWrapper] = {}
        self.idle_since = 0.0
        self.stopping = False
        """Set while the running call is being cancelled: nothing more is sent to a server on its behalf."""
        self.needs_cleaning = False
        """Whether the end of its last lease could not be carried out."""
        self._sessions: dict[str, Session] = {}
        self._borrowed_sessions: dict[str, BorrowedSession] = {}
        self._borrowed: dict[str, int] = {}  # alias -> atomic depth at the time: somebody else's connection
        self._on_return: Callable[[], None] | None = None
        self._expires: dict[str, tuple[object, float]] = {}  # alias -> (driver connection, clock)
        self._max_lifetime = max_lifetime

    def adopt(self, alias: str, wrapper: BaseDatabaseWrapper) -> None:
        """Keep a new connection, which any thread may use from now on, one at a time."""
        wrapper.inc_thread_sharing()
        wrapper.settings_dict = _lease_settings(wrapper)
        session = Session(wrapper)
        wrapper.execute_wrappers.insert(0, functools.partial(self._execute, session))
        commit = wrapper.commit
        if _is_sqlite_file(wrapper) and sqlite.takes_lock_at_once(wrapper):
            patience = self._be_patient(wrapper)
            commit = functools.partial(patience.wait_for_lock, commit)  # in rollback-journal mode it waits for readers
        wrapper.commit = functools.partial(self._commit, commit)  # type: ignore[method-assign]
        wrapper.connect = functools.partial(_connect_wholly, wrapper, session, wrapper.connect)  # type: ignore[method-assign]
        wrapper.close_if_unusable_or_obsolete = _leave_to_the_pool  # type: ignore[method-assign]
        wrapper.set_autocommit = functools.partial(_set_autocommit, wrapper, wrapper.set_autocommit)  # type: ignore[method-assign]
        session.begin()
        self._sessions[alias] = session
        self.wrappers[alias] = wrapper

    def _be_patient(self, wrapper: BaseDatabaseWrapper) -> sqlite.LockPatience:
        options = wrapper.settings_dict["OPTIONS"]
        patience = sqlite.LockPatience(wrapper, options["timeout"], lambda: self.stopping)
        wrapper.execute_wrappers.append(patience)  # innermost: what it repeats is the statement alone
        return patience

    def borrow(self, alias: str, wrapper: BaseDatabaseWrapper, on_return: Callable[[], None] | None = None) -> None:
        """Use somebody else's connection, and leave it as it was: in-memory SQLite has only the one.

        ``on_return`` is called when the last one that was borrowed has been given back.
        """
        self._on_return = on_return
        if alias not in self._borrowed:
            wrapper.inc_thread_sharing()
            self._borrowed_sessions[alias] = BorrowedSession(wrapper)
        self._borrowed[alias] = len(wrapper.atomic_blocks)
        self.wrappers[alias] = wrapper

    @property
    def has_borrowed(self) -> bool:
        """Whether a connection of somebody else's is in use."""
        return bool(self._borrowed)

    def own(self) -> list[BaseDatabaseWrapper]:
        """Return the connections that are ours to stop and to close: all but the borrowed ones."""
        return [wrapper for alias, wrapper in tuple(self.wrappers.items()) if alias not in self._borrowed]

    def open_aliases(self) -> list[str]:
        """Return the aliases that have an open connection of our own."""
        return [wrapper.alias for wrapper in self.own() if wrapper.connection is not None]

    def make_ready(self) -> int:
        """Before the first use on a lease: drop connections that died or moved while idle. Return how many."""
        if self.needs_cleaning:
            self.needs_cleaning = False
            self.clean("a lease that could not be ended")
        lost = 0
        for alias, wrapper in tuple(self.wrappers.items()):
            if _has_moved(alias, wrapper):
                self._drop(alias)
            elif wrapper.connection is not None and reset.has_died(wrapper):
                reset.close(wrapper)
                lost += 1
            elif alias in self._sessions:
                if getattr(wrapper, "health_check_enabled", False):
                    wrapper.health_check_done = False  # type: ignore[attr-defined] # the stubs lack it
                self._sessions[alias].start_lease()
        return lost

    def clean(self, origin: object) -> bool:
        """Make every connection fit for the next lease. False if one had to be repaired or closed."""
        healthy = True
        for alias, wrapper in tuple(self.wrappers.items()):
            if alias in self._borrowed:
                healthy &= self._give_back(alias)
                continue
            healthy &= reset.clean(wrapper, origin=origin) & self._clean_session(alias, wrapper)
            if self._is_due(alias, wrapper):
                reset.close(wrapper)
        return healthy

    def _clean_session(self, alias: str, wrapper: BaseDatabaseWrapper) -> bool:
        """Let the next owner find nothing of this one's. False if that failed, and the connection was closed for it."""
        try:
            if not self._sessions[alias].clean():
                reset.close(wrapper)
        except Exception:
            logger.warning("Connection %r could not be reset and is closed.", wrapper.alias, exc_info=True)
            reset.close(wrapper)
            return False
        return True

    def close(self) -> None:
        """Close all connections of our own."""
        for alias in tuple(self.wrappers):
            if alias in self._borrowed:
                self._give_back(alias)
            else:
                self._drop(alias)

    def poison(self) -> bool:
        """After a cancelled call: let Django refuse further statements in its transaction. True if it was in one.

        PostgreSQL aborts the transaction, SQLite may have rolled it back: neither may be mistaken for a success.
        """
        inside = [wrapper for wrapper in self.own() if wrapper.in_atomic_block]
        for wrapper in inside:
            wrapper.needs_rollback = True
        return bool(inside)

    def _give_back(self, alias: str) -> bool:
        wrapper, depth = self.wrappers.pop(alias), self._borrowed.pop(alias)
        wrapper.dec_thread_sharing()
        healthy = reset.leave_blocks(wrapper, depth)
        try:
            self._borrowed_sessions.pop(alias).clean()
        except Exception:
            logger.warning("Connection %r could not be restored.", wrapper.alias, exc_info=True)
        if not self._borrowed and self._on_return is not None:
            on_return, self._on_return = self._on_return, None
            on_return()
        return healthy

    def _drop(self, alias: str) -> None:
        reset.close_for_good(self.wrappers.pop(alias))
        self._sessions.pop(alias, None)
        self._expires.pop(alias, None)

    def _is_due(self, alias: str, wrapper: BaseDatabaseWrapper) -> bool:
        """Whether the connection has reached its age, or belongs back in the pool of ``OPTIONS["pool"]``."""
        if wrapper.connection is None:
            return False
        if wrapper.settings_dict["OPTIONS"].get("pool"):
            return True
        opened, expires = self._expires.get(alias, (None, 0.0))
        if opened is not wrapper.connection:
            jitter = random.uniform(0.9, 1.0)  # noqa: S311 - spreads reconnects, keeps no secret
            expires = time.monotonic() + self._max_lifetime * jitter
            self._expires[alias] = (wrapper.connection, expires)
        return time.monotonic() >= expires

    def _commit(self, commit: Callable[[], None]) -> None:
        """Let no commit follow the cancellation of the call it belongs to: the block it ends rolls back instead."""
        if self.stopping:
            raise CallCancelled("The task that wanted this commit has been cancelled; it is rolled back.")
        commit()

    def _execute(self, session: Session, execute: Any, sql: str, *arguments: Any) -> Any:
        """Look at a statement, as an execute wrapper."""
        if self.stopping:
            raise CallCancelled("The task that wanted this statement has been cancelled; it was not sent.")
        session.look_at(sql)
        return execute(sql, *arguments)


def _connect_wholly(wrapper: BaseDatabaseWrapper, session: Session, connect: Callable[[], None]) -> None:
    """Keep no connection that was stopped halfway: a search path or a role that was to be set would be missing."""
    try:
        session.connect(connect)
    except BaseException:
        reset.close(wrapper)
        raise


def _leave_to_the_pool() -> None:
    """Keep ``close_old_connections()``, which libraries call around their queries, from ending a transaction."""


def _set_autocommit(
    wrapper: BaseDatabaseWrapper, set_autocommit: Any, autocommit: Any, *args: Any, **kwargs: Any
) -> None:
    """Let a block that has lost its connection end without a new one, which would only be put in the same state."""
    if wrapper.connection is None and autocommit == wrapper.settings_dict["AUTOCOMMIT"]:
        return
    set_autocommit(autocommit, *args, **kwargs)


POSTGRESQL_OPTIONS = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}
"""Defaults for PostgreSQL on a lease; ``OPTIONS`` wins. Neither connecting nor a COMMIT can be cancelled, so a server
that vanishes without a word must be noticed by TCP."""


def _lease_settings(wrapper: BaseDatabaseWrapper) -> dict[str, Any]:
    settings: dict[str, Any] = dict(wrapper.settings_dict)
    if not settings["OPTIONS"].get("pool"):
        settings["CONN_MAX_AGE"] = None  # MAX_LIFETIME and MAX_IDLE decide
        if wrapper.vendor == "postgresql":
            settings["OPTIONS"] = {**POSTGRESQL_OPTIONS, **settings["OPTIONS"]}
    if _is_sqlite_file(wrapper):
        settings["OPTIONS"] = {**sqlite.OPTIONS, **settings["OPTIONS"]}
    return settings


def _is_sqlite_file(wrapper: BaseDatabaseWrapper) -> bool:
    return wrapper.vendor == "sqlite" and not wrapper.is_in_memory_db()  # type: ignore[attr-defined] # SQLite has it


def _has_moved(alias: str, wrapper: BaseDatabaseWrapper) -> bool:
    """Whether the alias means another database by now: test runners rename it in place."""
    return bool(django_connections.settings[alias]["NAME"] != wrapper.settings_dict["NAME"])


class Home(Protocol):
    """Where a lease comes from: the pool."""

    def finish(self, lease: Lease) -> None:
        """Clean the lease's connections and take it back, on a worker thread."""

    def put_back(self, lease: Lease) -> None:
        """Take it back unused, on any thread."""

    def count_lost(self, number: int) -> None:
        """Count connections that had died while idle."""


class Copying(NamedTuple):
    """A COPY in progress on a lease."""

    scope: Scope
    abort: Callable[[], None]
    """End it with an error, on a worker thread: psycopg locks the connection for as long as it lasts."""


@dataclass(slots=True, eq=False)
class Lease:
    """One loan: of a set of connections from the pool, or of a sync parent's thread with the connections it has.

    ``connections`` is None for a sync parent's thread; ``executor`` is where the calls run.
    """

    connections: ConnectionSet | None
    executor: Executor
    loop: asyncio.AbstractEventLoop
    home: Home | None = None
    """Who takes it back; None for a sync parent's thread."""
    scopes: set[Scope] = field(default_factory=set)
    """Who holds it: the last of them to end gives it back, since scopes may overlap without being nested."""
    turn: FifoLock = field(default_factory=FifoLock)
    blocks: dict[str, Scope] = field(default_factory=dict)
    """The innermost open atomic block per alias."""
    origin: CallSite | None = None
    """Where it is held across awaits; None while it is lent for a single call."""
    copying: Copying | None = None
    """The COPY in progress, beside which the connection can do nothing else."""
    cancelled_in_block: bool = False
    """Whether a call was cancelled inside the transaction, which must then not be taken for a success."""
    is_ready: bool = False
    """Whether its first call has looked the connections over."""
    has_left_calls: bool = False
    """Of a sync parent's thread: whether a finalizer has left a last call to it."""
    ended: bool = False
    forgotten: bool = False
    """Set in the child of a fork: the connections are the parent process's."""

    def refuse_beside_copy(self, scope: Scope | None) -> None:
        """Raise InterfaceError if a COPY other than that of ``scope`` is in progress: a query would wait for ever."""
        if self.copying is not None and self.copying.scope is not scope:
            raise InterfaceError(
                f"A COPY is in progress on this connection, begun at {self.copying.scope.origin}: nothing else can be "
                "done with it. Leave its `async with` block first, or query outside the cursor and the transaction."
            )

    def check(self, alias: str, scope: Scope | None, caller: str) -> None:
        """Raise TransactionManagementError if ``scope`` is not inside the innermost atomic block on the alias."""
        innermost = self.blocks.get(alias)
        if innermost is None or (scope is not None and scope.is_inside(innermost)):
            return
        message = (
            f"Query on {alias!r} from {caller}, which is outside the atomic block that {innermost.task} has open "
            f"at {innermost.origin}: its rows would be kept or lost with that block. Wait until the block has ended, "
            "or start the task inside it."
        )
        raise TransactionManagementError(message)


@dataclass(frozen=True, slots=True)
class CommitHook:
    """A callback for after the commit. A robust one's errors are logged instead of raised, as in Django."""

    func: Callable[[], object]
    robust: bool


@dataclass(slots=True, eq=False)
class Scope:
    """A stretch of a task during which it holds a lease: an atomic block, a cursor or an iteration."""

    lease: Lease
    outer: Scope | None
    origin: CallSite
    alias: str | None = None
    """The alias of an atomic block; None for a scope without a transaction of its own."""
    task: str = field(default_factory=lambda: describe_task(current_task()))
    depth: int = -1
    """Of an atomic block: how many of Django's are around it on its connection; -1 until it has begun."""
    is_open: bool = True
    is_abandoned: bool = False
    """Whether its task dropped it, so that whoever still has it in the context is not one of its child tasks."""
    is_guest: bool = False
    """Whether it uses the turn of a call on a sync parent's thread which waits for it."""
    hooks: list[CommitHook] = field(default_factory=list)
    """What to call when the outermost atomic block has committed, in order."""

    @property
    def is_alive(self) -> bool:
        """Whether code in it may still use the lease."""
        if not self.is_open or self.lease.ended or self.lease.forgotten:
            return False
        if self.alias is not None:  # blocks on different databases may end in any order
            return True
        return self.outer is None or self.outer.lease is not self.lease or not self.outer.has_ended_block

    @property
    def has_ended_block(self) -> bool:
        """Whether this scope, or one around it, is an atomic block that has ended."""
        scope: Scope | None = self
        while scope is not None and (scope.alias is None or scope.is_open):
            scope = scope.outer
        return scope is not None

    def leads_to(self, other: Scope) -> bool:
        """Whether ``other`` is this scope or one around it."""
        scope: Scope | None = self
        while scope is not None and scope is not other:
            scope = scope.outer
        return scope is other

    def take_out(self, ended: Scope) -> None:
        """Let what is around ``ended`` be around the scope inside it, which goes on without it."""
        scope: Scope | None = self
        while scope is not None and scope.outer is not ended:
            scope = scope.outer
        if scope is not None:
            scope.outer = ended.outer

    def is_inside(self, block: Scope) -> bool:
        """Whether this scope is the given atomic block, or was opened in it with no other of its alias between."""
        scope: Scope | None = self
        while scope is not None and (scope.alias != block.alias or scope.lease is not block.lease):
            scope = scope.outer
        return scope is block


_scope: ContextVar[Scope | None] = ContextVar("daf_orm.scope", default=None)


def innermost_scope() -> Scope | None:
    """Return the scope in this context that is still open, passing over ended iterations and cursors.

    Raises TransactionManagementError if the context was made inside an atomic block which has ended since.
    """
    scope = _scope.get()
    while scope is not None and not scope.is_alive:
        if scope.alias is not None and not scope.lease.forgotten and not scope.is_abandoned:
            message = (
                f"A query from {describe_task(current_task())}, which was started inside the atomic block at "
                f"{scope.origin}: the block has ended, and it would run outside the transaction. Await the task inside "
                "the block, or start it after the block."
            )
            raise TransactionManagementError(message)
        scope = scope.outer
    return scope


def enter_scope(scope: Scope) -> Scope | None:
    """Make the scope the one that this task, and what it calls or starts, sees. Return the one it saw before."""
    before = _scope.get()
    _scope.set(scope)
    return before


def enter_if_outside(scope: Scope) -> Scope | None:
    """Enter the scope unless the context is inside it already. Return what the context saw before."""
    before = _scope.get()
    if before is None or not before.leads_to(scope):
        _scope.set(scope)
    return before


def return_to(before: Scope | None) -> None:
    """Undo :func:`enter_scope`, given what it returned."""
    _scope.set(before)


def step_back(scope: Scope) -> None:
    """Put the task back in the scope around this one, if it is in it.

    By value, not by token: a generator may be left in another context than the one it was entered in.
    """
    if _scope.get() is scope:
        _scope.set(scope.outer)


def leave_scope(scope: Scope, before: Scope | None) -> None:
    """End the scope, and put the task back where it was ``before`` the end began, or else in the scope around this one.

    Scopes may overlap: who was in a younger one stays there.
    """
    scope.is_open = False
    scope.lease.scopes.discard(scope)
    stays = before is not scope and (before is None or before.is_alive or not before.leads_to(scope))
    if stays and before is not None:
        before.take_out(scope)
    _scope.set(before if stays else scope.outer)


def holds_block() -> Scope | None:
    """Return an atomic block that this context is in, without a word about ended ones; None if there is none."""
    scope = _scope.get()
    while scope is not None and (scope.alias is None or not scope.is_alive):
        scope = scope.outer
    return scope


def innermost_block(alias: str) -> Scope | None:
    """Return the innermost atomic block on the alias that this context is in, if there is one."""
    scope = innermost_scope()
    while scope is not None and scope.alias != alias:
        scope = scope.outer
    return scope


def describe_task(task: asyncio.Task[Any] | None) -> str:
    """Name a task for a message."""
    return f"task {task.get_name()!r}" if task is not None else "code outside a task"


def current_task() -> asyncio.Task[Any] | None:
    """Return the running task; None on a worker thread, and in the finalizer of a task that was dropped."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
