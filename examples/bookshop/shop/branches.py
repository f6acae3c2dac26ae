"""The branches of the chain: a host name is a branch, and PostgreSQL shows each its own orders, by row-level security.

No query has a filter for it. The middleware notes the branch of the request, `DAF_ORM["CONFIGURE"]` tells it to the
connection that is lent, and the policies of migration 0004 compare it with each row. The catalogue and the shelves are
the whole chain's.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from django.db import connection
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware

from daf_orm import database_sync_to_async
from daf_views.exceptions import NotFoundError

MAIN = "main"
BRANCHES = ("bergen", "kyoto")
CLOSED = "This branch is closed: PostgreSQL's row-level security would keep its orders apart, and is not in force here."
EXEMPT = (
    "The branches %s stay closed: PostgreSQL exempts superusers, and roles with BYPASSRLS, from row-level security. "
    "Give DATABASE_URL another user."
)
logger = logging.getLogger("shop")

current_branch: ContextVar[str] = ContextVar("current_branch", default=MAIN)
_open = {MAIN}


def branch_now() -> str:
    """Return the branch that the running code works for."""
    return current_branch.get()


def database_settings() -> dict[str, str]:
    """Return the settings that a connection must have for the next call: DAF asks before each."""
    return {"app.branch": branch_now()}


@async_only_middleware
def branch_middleware(
    get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """`bergen.localhost` is the branch in Bergen, `localhost` the main shop."""

    async def middleware(request: HttpRequest) -> HttpResponseBase:
        name, is_branch, _ = request.get_host().lower().partition(".localhost")
        branch = name if is_branch else MAIN
        if branch not in _open:
            raise NotFoundError(CLOSED if branch in BRANCHES else "The chain has no such branch.")
        current_branch.set(branch)  # each request has a separate context, so that nothing is to be reset
        return await get_response(request)

    return middleware


async def open_branches() -> None:
    """Open them where the database keeps their orders apart: SQLite has no row-level security."""
    if connection.vendor != "postgresql":
        return
    if await database_sync_to_async(is_exempt)():
        logger.warning(EXEMPT, " and ".join(BRANCHES))
    else:
        _open.update(BRANCHES)


def is_exempt() -> bool:
    """Ask PostgreSQL whether its policies leave the user of this connection alone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        return bool(cursor.fetchone()[0])
