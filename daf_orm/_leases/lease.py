"""A lease: one set of database connections, lent to a task.

Problem: Django ties a connection to a thread, and async code changes threads at every hop. Mechanism: connections
belong to a :class:`Lease`. The task that holds one has it in a context variable, as a :class:`Scope`, and
``daf_orm._django.connections`` makes ``django.db.connections`` look there. Invariant: a lease's connections are used by
one call at a time, and by no task that is outside the innermost atomic block open on them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from django.db import InterfaceError
from django.db.transaction import TransactionManagementError

from daf_orm._core.locks import FifoLock
from daf_orm._core.tasks import current_task, describe_task
from daf_orm.exceptions import PoolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future

    from django.db.backends.base.base import BaseDatabaseWrapper

    from daf_orm._core.call_site import CallSite
    from daf_orm._leases.connection_set import ConnectionSet
    from daf_orm._leases.guest import Guest
    from daf_orm._leases.owner import Owner
    from daf_orm._leases.scope import Scope

logger = logging.getLogger("daf_orm")
_MOMENT = 0.05
"""Seconds between two checks of a waiting thread that it still has to wait."""


class Home(Protocol):
    """The pool that a lease comes from."""

    def finish(self, lease: Lease, *, keeps_transactions: bool = False) -> None:
        """Clean the lease's connections and take it back, unless its owner keeps it. On a worker thread."""

    def put_back(self, lease: Lease) -> None:
        """Take it back unused, on any thread."""

    def count_lost(self, number: int) -> None:
        """Count connections that had died while idle."""

    def keep(self, lease: Lease) -> None:
        """Pin the lease to its owner, or move the running call to the owner's other one. On a worker thread."""

    @property
    def executor(self) -> Executor:
        """Threads that are always available."""

    def end(self, lease: Lease) -> Future[None]:
        """Take a pinned lease back, because its owner has ended."""


class Copying(NamedTuple):
    """A COPY in progress on a lease."""

    scope: Scope
    abort: Callable[[], None]
    """End it with an error, on a worker thread: psycopg locks the connection for as long as it lasts."""


class Lease:
    """One loan: of a set of connections from the pool, or of a sync parent's thread with the connections it has.

    Every call that needs one makes one, so rarely used attributes stand on the class.
    """

    scopes: set[Scope]
    """The scopes that hold it. The last of them to end returns it, since scopes may overlap without being nested."""
    owner: Owner | None = None
    """The owner of its calls; None for a sync parent's thread."""
    running: Callable[[], None] | None = None
    """Of a lease whose call runs on an event loop: ends the call if the loop is closed."""
    gate: FifoLock | None = None
    """Of a pinned lease: held by an atomic block while the owner's other tasks wait."""
    sent: bool = False
    """True if a statement has been sent."""
    stopping: bool = False
    """True while the call that was begun on it is being cancelled."""
    moved_to: Lease | None = None
    """The lease that the running call has gone on on."""
    runs_for: Lease | None = None
    """The lease that the running call was begun on, if that was another one."""
    committing: tuple[BaseDatabaseWrapper, float] | None = None
    """The connection whose COMMIT is under way, and the time it was sent, by ``time.monotonic()``."""
    pinned_for: str = ""
    """The reason why it is pinned, for messages."""
    blocks: dict[str, Scope]
    """The innermost open atomic block per alias."""
    origin: CallSite | None = None
    """The place where it is held across awaits; None while it is lent for a single call."""
    copying: Copying | None = None
    """The COPY in progress, during which the connection can do nothing else."""
    cancelled_in_block: bool = False
    """True if a call was cancelled inside the transaction, which then must not commit."""
    is_ready: bool = False
    """True once its first call has checked the connections."""
    is_orphan: bool = False
    """True if its event loop was found closed, and it is about to be taken back."""
    has_left_calls: bool = False
    """Of a sync parent's thread: True if a finalizer has left a last call to it."""
    ended: bool = False
    forgotten: bool = False
    """Set in the child of a fork: the connections are the parent process's."""

    def __init__(
        self,
        connections: ConnectionSet | None,
        executor: Executor,
        loop: asyncio.AbstractEventLoop | None,
        home: Home | None = None,
        *,
        runs_on_loop: bool = False,
    ) -> None:
        self.connections = connections
        """None for a sync parent's thread."""
        self.executor = executor
        """The executor of the calls."""
        self.loop = loop
        self.home = home
        """The pool that takes it back; None for a sync parent's thread."""
        self.runs_on_loop = runs_on_loop
        """True if all of its connections can wait on an event loop, so that calls need no thread."""
        self.turn = FifoLock()
        self.scopes = set()
        self.blocks = {}

    def lend_to(self, owner: Owner) -> None:
        """Let it serve the calls of an owner."""
        self.owner = owner
        self.executor = owner.executor or self.executor

    @property
    def has_own_thread(self) -> bool:
        """True if its calls have a thread to themselves."""
        return self.connections is not None and self.executor is self.connections.thread

    @property
    def has_lost_loop(self) -> bool:
        """True if the event loop that waits for its calls is closed."""
        return self.loop is not None and self.loop.is_closed()

    @property
    def is_stopping(self) -> bool:
        """True while the running call is being cancelled: nothing more is sent to a server for it."""
        return self.stopping or (self.runs_for is not None and self.runs_for.stopping)

    def may_move(self) -> bool:
        """Return True if the running call may go on on another lease, as if it had begun there."""
        return not (self.sent or self.scopes or self.connections is None or self.connections.is_in_transaction())

    def can_be_joined(self) -> bool:
        """Return True if a call that began elsewhere may go on here: no transaction of the owner is open."""
        return self.connections is not None and not self.connections.is_in_transaction()

    def poison(self) -> bool:
        """Let Django refuse further statements in the transaction of a cancelled call. True if it was in one.

        PostgreSQL aborts the transaction, SQLite may have rolled it back: in both cases it must not look successful.
        """
        inside = [wrapper for wrapper in self.in_use() if wrapper.in_atomic_block]
        for wrapper in inside:
            wrapper.needs_rollback = True
        return bool(inside)

    def committing_before(self, moment: float) -> BaseDatabaseWrapper | None:
        """Return the connection whose COMMIT was sent at ``moment`` or before and is not answered, if there is one."""
        committing = (self.moved_to or self).committing
        return committing[0] if committing is not None and committing[1] <= moment else None

    def in_use(self) -> list[BaseDatabaseWrapper]:
        """Return the connections of the running call that DAF may stop and close."""
        connections = (self.moved_to or self).connections
        return [] if connections is None else connections.own()

    @property
    def is_pinned(self) -> bool:
        """True if its owner keeps it, and still can."""
        return self.owner is not None and self.owner.pinned is self and not (self.owner.ended or self.forgotten)

    def keep(self) -> None:
        """Pin it to its owner, before a statement is sent that changes its session."""
        if self.home is not None and not self.is_pinned:
            self.home.keep(self)

    def wrapper(self, alias: str) -> BaseDatabaseWrapper | None:
        """Return the owner's wrapper with the alias's connection; None if Django has to make one."""
        connections, owner = self.connections, self.owner
        assert connections is not None
        assert owner is not None
        guest = owner.guest(alias) or connections.new_guest(alias, owner)
        return None if guest is None else self.attach(guest)

    def attach(self, guest: Guest) -> BaseDatabaseWrapper:
        """Give one of the owner's wrappers the connection of its alias."""
        assert self.connections is not None
        if not self.connections.attach(guest.alias, guest, self) and self.home is not None:
            self.home.count_lost(1)
        return guest.wrapper

    # Turns

    def take_turn_at_once(self) -> bool:
        """Take the turn, if it is free and no block of another task may have to be waited for."""
        return self.gate is None and self.turn.acquire_at_once()

    async def take_turn(self, scope: Scope | None, timeout: float | None) -> None:
        """Wait until the caller's call may run. ``scope`` is the caller's scope, if any."""
        gate = None if self.is_in_block(scope) else self.gate
        if gate is not None:
            await self.pass_gate(timeout)
        try:
            await self.turn.acquire(timeout)
        finally:
            if gate is not None:
                gate.release()

    async def pass_gate(self, timeout: float | None) -> None:
        """Wait until no block of another task is open."""
        assert self.gate is not None
        try:
            await self.gate.acquire(timeout)
        except PoolTimeout as error:
            raise self._name_block(timeout) from error

    def take_turn_blocking(self, timeout: float, is_given_up: Callable[[], bool] | None = None) -> None:
        """Wait on a thread like :meth:`take_turn`, for a caller that is in no block of this lease."""
        deadline, gate = time.monotonic() + timeout, self.gate

        def is_over() -> bool:
            return time.monotonic() > deadline or (is_given_up is not None and is_given_up())

        if gate is not None and not gate.acquire_unless(is_over, _MOMENT):
            raise self._name_block(timeout)
        try:
            if not self.turn.acquire_unless(is_over, _MOMENT):
                raise self._name_block(timeout)
        finally:
            if gate is not None:
                gate.release()

    def take_wrappers(self) -> list[Guest]:
        """Take the wrappers from the running call's connections."""
        assert self.connections is not None
        return self.connections.take_guests()

    def close_gate(self) -> None:
        """Make a gate, as the lease is pinned. The block that the running call is in holds it."""
        self.gate = FifoLock()
        for scope in self.blocks.values():
            outermost, outer = scope, scope.outer
            while outer is not None:
                if outer.alias is not None and outer.lease is self:
                    outermost = outer
                outer = outer.outer
            if not any(held.holds_gate for held in self.scopes):
                self.gate.when_free(lambda: None)
                outermost.holds_gate = True

    def leave_gate(self, scope: Scope) -> None:
        """Let the other tasks pass, as the block that they waited for has ended."""
        if scope.holds_gate:
            scope.holds_gate = False
            assert self.gate is not None
            self.gate.release()

    def is_in_block(self, scope: Scope | None) -> bool:
        """Return True if a scope is in an atomic block on this lease."""
        while scope is not None:
            if scope.alias is not None and scope.lease is self:
                return True
            scope = scope.outer
        return False

    def _name_block(self, timeout: float | None) -> PoolTimeout:
        blocks = tuple(self.blocks.values())
        holders = ", ".join(f"{block.task} in the block at {block.origin}" for block in blocks) or "another call"
        return PoolTimeout(
            f"{describe_task(current_task())} waited {timeout} s for the one connection that it shares with {holders}: "
            f"{self.pinned_for}. End that block sooner, or open it where the connection is not shared."
        )

    def refuse_beside_copy(self, scope: Scope | None) -> None:
        """Raise InterfaceError if a COPY other than that of ``scope`` is in progress: a query would wait for ever."""
        if self.copying is not None and self.copying.scope is not scope:
            raise InterfaceError(
                f"A COPY is in progress on this connection, begun at {self.copying.scope.origin}: it can do nothing "
                "else meanwhile. Leave its `async with` block first, or query outside the cursor and the transaction."
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
