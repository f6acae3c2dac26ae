"""A synchronous call on a lease, and the lease's state after it.

Its route (:mod:`daf_orm._execution.routes`) knows how the call runs, and what a cancellation may do to it. On every
route the call itself cleans up and returns what it holds, where it runs. So nothing is lost when its task is cancelled,
cancelled again, or dropped with its event loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from daf_orm._leases.lease import Lease
    from daf_orm._leases.scope import Scope

T = TypeVar("T")
STOP_INTERVAL = 0.05
"""Seconds between two requests to stop a statement: one may fall between two statements and stop nothing."""


class Call(Generic[T]):
    """One run of ``func`` on a lease. The caller has the lease's turn; ``ending`` releases it, or returns the lease.

    ``func`` is called with True if the task has been cancelled by then. Only a *final* call is: the end of a
    transaction or cursor is never stopped.
    """

    _cancelled: asyncio.CancelledError | None = None
    _ended = False
    """True once no request to stop may reach the connection any more."""

    def __init__(self, lease: Lease, func: Callable[[bool], T], ending: Ending, *, final: bool = False) -> None:
        self._lease = lease
        self._func = func
        self._ending = ending
        self._final = final

    async def perform(self, cancelled: asyncio.CancelledError | None = None) -> T:
        """Run the call and return its result. Exceptions of ``func`` are raised unchanged.

        ``cancelled``: a cancellation that a final call has held back so far; it is raised when the call has ended.
        """
        raise NotImplementedError

    def _run(self) -> T:
        """Run ``func`` where it has its lease, and end the call."""
        lease = self._lease
        try:
            if not lease.is_ready:
                self._make_ready()
            if lease.connections is not None:
                lease.connections.configure()
            if self._final and (copying := lease.copying) is not None and not self._ending.is_of(copying.scope):
                copying.abort()  # a task's COPY may outlast the cursor or block around it
            return self._func(self._cancelled is not None)
        finally:
            self._settle()
            self._ending(lease, used=True)

    def _make_ready(self) -> None:
        self._lease.is_ready = True
        if self._lease.connections is not None and self._lease.connections.needs_cleaning:
            self._lease.connections.make_ready()

    def _settle(self) -> None:
        """End the time in which a request to stop may reach the connection."""
        raise NotImplementedError

    def _give_up(self) -> None:
        """End a call that will never run."""
        if self._final and self._lease.connections is not None:  # the block or cursor that it was to end is still open
            self._lease.connections.needs_cleaning = True
        self._ending(self._lease, used=False)


class Ending:
    """The action on a lease when a call on it has ended. ``used`` is False if the call never ran."""

    def is_of(self, scope: Scope) -> bool:  # noqa: ARG002 - only EndScope has one
        """Return True if it is the end of this scope."""
        return False

    def __call__(self, lease: Lease, *, used: bool) -> None:
        """Act on the lease and its turn. On the worker thread if ``used``; without any I/O if not."""
        raise NotImplementedError


class KeepTurn(Ending):
    """Keeps the turn: the call ran within a longer one."""

    def __call__(self, lease: Lease, *, used: bool) -> None:
        """Do nothing."""


class EndTurn(Ending):
    """Releases the turn: another call may run on the lease, which its task still holds."""

    def __call__(self, lease: Lease, *, used: bool) -> None:  # noqa: ARG002 - one signature for every ending
        """Let the next call have its turn."""
        lease.turn.release()


class GiveBack(Ending):
    """Returns the lease, which was taken for this call alone."""

    def __call__(self, lease: Lease, *, used: bool) -> None:
        """Clean the lease's connections and return it."""
        if lease.connections is None:
            lease.blocks.clear()
        elif lease.home is not None and used:
            lease.home.finish(lease)
        elif lease.home is not None:
            lease.home.put_back(lease)
        lease.turn.release()  # a call that still waits for the turn finds the lease ended


KEEP_TURN, END_TURN, GIVE_BACK = KeepTurn(), EndTurn(), GiveBack()


class EndScope(Ending):
    """Ends a scope with the call; the last one on the lease returns it."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def is_of(self, scope: Scope) -> bool:
        """Return True if it is the end of this scope."""
        return scope is self._scope

    def __call__(self, lease: Lease, *, used: bool) -> None:
        """Return the lease, or leave it to the scopes that go on."""
        lease.scopes.discard(self._scope)
        self._scope.leave_share()
        if self._scope.is_guest:
            return
        lease.leave_gate(self._scope)
        if not lease.scopes:
            GIVE_BACK(lease, used=used)
        elif lease.connections is not None:
            lease.turn.release()
