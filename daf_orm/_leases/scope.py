"""A scope: a stretch of a task during which it holds a lease. The innermost one is in a context variable."""

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
    """A callback for after the commit. A robust one's errors are logged instead of raised, as in Django."""

    func: Callable[[], object]
    robust: bool
    number: int = field(default_factory=next_number)
    """Its place in the order of registration."""


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
    holds_gate: bool = False
    """Whether the other tasks of a pinned lease's owner wait for it."""
    share: FifoSemaphore | None = None
    """Of an iteration that has a lease of its own: where its place among those is."""
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

    def leave_share(self) -> None:
        """Let another iteration have a lease."""
        share, self.share = self.share, None
        if share is not None:
            share.release()

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


def is_outside_scopes() -> bool:
    """Whether this context was made in no scope at all."""
    return _scope.get() is None


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
