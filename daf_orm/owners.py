"""Begin and end an owner: a request or task with its own state on database connections. For servers, not for views.

Django gives a request one connection: a setting made there holds for the request's next query, and for no other
request. :class:`Ownership` marks the beginning and the end of a request, or of anything like one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS

from daf_orm import _execution
from daf_orm._django import connections as leased_connections
from daf_orm._django.owners import end_own_state, end_owner, enter_owner, leave_owner

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from concurrent.futures import Executor
    from types import TracebackType

    from daf_orm._leases.scope import Scope

__all__ = ["Ownership", "pinned", "return_connection"]


class Ownership:
    """Makes the running task an owner, with the tasks that it starts from now on, until :meth:`end`.

    ``name`` names the owner in messages. ``executor`` is the one thread that all of its calls run in; with it the
    owner keeps its first connection until it ends.
    """

    __slots__ = ("_owner", "_token")

    def __init__(self, name: str, *, executor: Executor | None = None) -> None:
        leased_connections.activate()
        self._owner, self._token = enter_owner(name, executor)

    def end(self) -> Awaitable[None] | None:
        """End the owner. Return an awaitable if its connection has to be cleaned; awaiting it is optional."""
        ending = end_owner(self._owner)
        return None if ending is None else asyncio.shield(asyncio.wrap_future(ending))

    def leave(self) -> None:
        """Restore the owner that the running task, which began this one, had before."""
        leave_owner(self._token)


class pinned:  # noqa: N801 - used like a function
    """``async with pinned(using=None):`` one connection from here to the end of the block, without a transaction.

    For work that needs one connection: an advisory lock, LISTEN, a temporary table. Tasks started in the block use it
    too, one call at a time. Settings made in the block are undone when the surrounding request or task has ended.
    """

    def __init__(self, using: str | None = None) -> None:
        self.using = using or DEFAULT_DB_ALIAS
        self._scopes: list[Scope] = []

    if not TYPE_CHECKING:  # `with` is an error to type checkers

        def __enter__(self) -> None:
            raise TypeError("daf_orm.pinned() is asynchronous: use `async with`.")

        def __exit__(self, *exc_info: object) -> None:
            """Never reached; Python looks it up before it enters."""

    async def __aenter__(self) -> None:
        self._scopes.append(await _execution.open_scope())

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope = self._scopes.pop()
        if exc_type is GeneratorExit:  # the task was dropped: nothing can be awaited any more
            _execution.abandon_scope(scope, _do_nothing)
        else:
            await _execution.close_scope(scope, _do_nothing)


async def return_connection() -> None:
    """Return the connection that the running task keeps for itself, cleaned. For servers, between two pieces of work.

    Settings that the task has made there end with it. In a request, and while an ``atomic``, ``cursor`` or ``pinned``
    block is open, nothing happens.
    """
    if (ending := end_own_state()) is not None:
        await asyncio.shield(asyncio.wrap_future(ending))


def _do_nothing(cancelled: bool) -> None:  # noqa: FBT001 - the signature of a last call
    """Leave the connection unchanged: its owner may keep it."""
