"""A view's transaction: its own ``atomic``, or ``ATOMIC_REQUESTS``, which Django refuses to async views."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connections

from daf_orm import transaction
from daf_views._django.handlers import non_atomic_aliases, set_non_atomic_aliases

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from django.http.response import HttpResponseBase

_SERVER_ERROR = 500


class OptedOut(set[str]):
    """The aliases that ``non_atomic_requests`` has named; to Django's handler, every alias.

    Django's handler raises for an async view on a database with ``ATOMIC_REQUESTS``, unless the alias is *in* the
    callback's set, where the decorator adds aliases.
    """

    __slots__ = ()

    def __contains__(self, alias: object) -> bool:
        return True

    @classmethod
    def put_on(cls, callback: Any) -> OptedOut:
        """Take the place of the set that a callback may have already."""
        opted_out = cls(non_atomic_aliases(callback))
        set_non_atomic_aliases(callback, opted_out)
        return opted_out


def aliases_of(atomic: bool | str | None, opted_out: Iterable[str]) -> list[str]:  # noqa: FBT001 - a view's attribute
    """Return the aliases on which a view runs in a transaction; None means the setting ``ATOMIC_REQUESTS``."""
    if atomic is None:
        wanted = [alias for alias, database in connections.settings.items() if database["ATOMIC_REQUESTS"]]
        return [alias for alias in wanted if alias not in list(opted_out)]
    if isinstance(atomic, str):
        return [atomic]
    return [DEFAULT_DB_ALIAS] if atomic else []


async def run_atomic(aliases: Sequence[str], work: Callable[[], Awaitable[HttpResponseBase]]) -> HttpResponseBase:
    """Run ``work`` in a transaction on each alias. An exception or a 5xx response rolls it back.

    Return the response. The transaction has ended when this returns: a streaming response reads later, outside it.
    """
    if not aliases:
        return await work()
    try:
        async with AsyncExitStack() as stack:
            for alias in aliases:
                await stack.enter_async_context(transaction.atomic(using=alias))
            response = await work()
            if response.status_code >= _SERVER_ERROR:
                raise _RollbackError(response)
            return response
    except _RollbackError as rollback:
        return rollback.response


class _RollbackError(Exception):
    """Leaves the blocks with a response, so that they roll back."""

    def __init__(self, response: HttpResponseBase) -> None:
        self.response = response
