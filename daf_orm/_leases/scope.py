"""A scope: a period of a task during which it holds a lease. The innermost one is in a context variable."""

from __future__ import annotations

import itertools
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.transaction import TransactionManagementError

from daf_orm._core.tasks import current_task, describe_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from daf_orm._core.call_site import CallSite
    from daf_orm._core.locks import FifoSemaphore
    from daf_orm._leases.lease import Lease

next_number = itertools.count().__next__


@dataclass(frozen=True, slots=True)
class CommitHook:
    """A callback for after the commit. Errors of a robust one are logged instead of raised, as in Django."""

    func: Callable[[], object]
    robust: bool
    number: int = field(default_factory=next_number)
    """Its place in the order of registration."""


@dataclass(slots=True, eq=False)
class Scope:
    """A period of a task during which it holds a lease: an atomic block, a cursor or an iteration."""

    lease: Lease
    outer: Scope | None
    origin: CallSite
    alias: str | None = None
    """The alias of an atomic block; None for a scope without a transaction."""
    task: str = field(default_factory=lambda: describe_task(current_task()))
    depth: int = -1
    """Of an atomic block: the number of Django blocks around it on its connection; -1 until it has begun."""
    is_open: bool = True
    is_abandoned: bool = False
    """True if its task dropped it, so that other code with it in its context is no child task of the block."""
    holds_gate: bool = False
    """True if the other tasks of a pinned lease's owner wait for it."""
    share: FifoSemaphore | None = None
    """Of an iteration with a separate lease: the semaphore in which it has a slot."""
    is_guest: bool = False
    """True if it uses the turn of a waiting call on a sync parent's thread."""
    hooks: list[CommitHook] = field(default_factory=list)
    """The callbacks for after the commit of the outermost atomic block, in order."""

    @property
    def is_alive(self) -> bool:
        """True if code in it may still use the lease."""
        if not self.is_open or self.lease.ended or self.lease.forgotten:
            return False
        if self.alias is not None:  # blocks on different databases may end in any order
            return True
        return self.outer is None or self.outer.lease is not self.lease or not self.outer.has_ended_block

    @property
    def has_ended_block(self) -> bool:
        """True if this scope, or one around it, is an atomic block that has ended."""
        scope: Scope | None = self
        while scope is not None and (scope.alias is None or scope.is_open):
            scope = scope.outer
        return scope is not None

    def leave_share(self) -> None:
        """Let another iteration have a lease."""
        share, self.share = self.share, None
        if share is not None:
            share.release()

    def leads_to(self, other: Scope) -> bool:
        """Return True if ``other`` is this scope or one around it."""
        scope: Scope | None = self
        while scope is not None and scope is not other:
            scope = scope.outer
        return scope is other

    def take_out(self, ended: Scope) -> None:
        """Remove the ended scope from the chain of this one, which goes on without it."""
        scope: Scope | None = self
        while scope is not None and scope.outer is not ended:
            scope = scope.outer
        if scope is not None:
            scope.outer = ended.outer

    def is_inside(self, block: Scope) -> bool:
        """Return True if this scope is the given block, or was opened in it with no other of its alias between."""
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


def is_innermost(block: Scope) -> bool:
    """Return True if an atomic block is the innermost scope of this context, and still open."""
    return _scope.get() is block and block.is_open and not (block.lease.ended or block.lease.forgotten)


def is_outside_scopes() -> bool:
    """Return True if this context was made in no scope."""
    return _scope.get() is None


def enter_scope(scope: Scope) -> Scope | None:
    """Make the scope current for this task, and for its calls and new tasks. Return the scope that was current."""
    before = _scope.get()
    _scope.set(scope)
    return before


def enter_if_outside(scope: Scope) -> Scope | None:
    """Enter the scope unless the context is inside it already. Return the scope that was current."""
    before = _scope.get()
    if before is None or not before.leads_to(scope):
        _scope.set(scope)
    return before


class Inside:
    """``with Inside(scope) as before:`` :func:`enter_if_outside`, and back to the scope ``before`` at the end.

    A coroutine that was dropped is closed wherever the garbage collector runs: that context is other code's, and is not
    changed.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._before: Scope | None = None

    def __enter__(self) -> Scope | None:
        self._before = enter_if_outside(self._scope)
        return self._before

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not GeneratorExit:
            _scope.set(self._before)


class Leaving:
    """``with Leaving(scope):`` enter a scope for its last call, and :func:`leave_scope` at the end.

    If the coroutine is dropped, the scope ends, and the current context is not changed.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._before: Scope | None = None

    def __enter__(self) -> None:
        self._before = enter_scope(self._scope)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not GeneratorExit:
            leave_scope(self._scope, self._before)
        else:
            self._scope.is_open = False
            self._scope.lease.scopes.discard(self._scope)


def step_back(scope: Scope) -> None:
    """Make the outer scope current again, if this one is current.

    By value, not by token: a generator may be left in another context than the one it was entered in.
    """
    if _scope.get() is scope:
        _scope.set(scope.outer)


def leave_scope(scope: Scope, before: Scope | None) -> None:
    """End the scope, and make current the scope ``before`` the end began, or else the one around this one.

    Scopes may overlap: a task in a younger scope stays there.
    """
    scope.is_open = False
    scope.lease.scopes.discard(scope)
    stays = before is not scope and (before is None or before.is_alive or not before.leads_to(scope))
    if stays and before is not None:
        before.take_out(scope)
    _scope.set(before if stays else scope.outer)


def holds_block() -> Scope | None:
    """Return an atomic block that this context is in, without an error for ended ones; None if there is none."""
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
