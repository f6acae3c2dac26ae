"""Begin and end an owner: whoever has its own state on database connections. For servers of requests, not for views.

Django gives a request one connection: what its code sets there is there in the request's next query, and in no other
request's. :class:`Ownership` says from where to where a request, or anything like one, goes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS

from daf_orm import _execution
from daf_orm._django import connections as leased_connections
from daf_orm._django.owners import end_owner, enter_owner, leave_owner

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from concurrent.futures import Executor
    from types import TracebackType

    from daf_orm._leases.scope import Scope

__all__ = ["Ownership", "pinned"]


class Ownership:
    """Makes the running task an owner, with the tasks that it starts from now on, until :meth:`end`.

    ``name`` says who it is in messages. ``executor``: the one thread that all of its calls run in; it then keeps its
    first connection until it ends.
    """

    __slots__ = ("_owner", "_token")

    def __init__(self, name: str, *, executor: Executor | None = None) -> None:
        leased_connections.activate()
        self._owner, self._token = enter_owner(name, executor)

    def end(self) -> Awaitable[None] | None:
        """End it. Return an awaitable if its connection has to be cleaned; who does not await it loses nothing."""
        ending = end_owner(self._owner)
        return None if ending is None else asyncio.shield(asyncio.wrap_future(ending))

    def leave(self) -> None:
        """Let the running task, which began it, be what it was before."""
        leave_owner(self._token)


class pinned:  # noqa: N801 - used like a function
    """``async with pinned(using=None):`` one connection from here to the end of the block, without a transaction.

    For what has to be done on one connection: an advisory lock, LISTEN, a temporary table. Tasks started in the block
    use it too, one call at a time. What the block has set is undone when the request or task that it is in has ended.
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


def _do_nothing(cancelled: bool) -> None:  # noqa: FBT001 - the signature of a last call
    """Leave the connection as it is: its owner may keep it."""
