"""Stock Django's ORM in async code: nothing is lost, nothing leaks, nothing blocks."""

from typing import TYPE_CHECKING, Any

from daf_orm import transaction
from daf_orm._core.blocking_call import BlockingCallError
from daf_orm._pool.pool import get_pool
from daf_orm.cursor import cursor
from daf_orm.detection import BlockingCall, allow_blocking
from daf_orm.exceptions import PoolClosed, PoolTimeout, TooManyRequests
from daf_orm.manager import AsyncManager
from daf_orm.owners import pinned
from daf_orm.query import AsyncQuerySet
from daf_orm.sync import await_safe, database_sync_to_async

if TYPE_CHECKING:
    from daf_orm.models import AsyncModel

__all__ = [
    "AsyncManager",
    "AsyncModel",
    "AsyncQuerySet",
    "BlockingCall",
    "BlockingCallError",
    "PoolClosed",
    "PoolTimeout",
    "TooManyRequests",
    "allow_blocking",
    "await_safe",
    "cursor",
    "database_sync_to_async",
    "get_pool",
    "pinned",
    "transaction",
]


def __getattr__(name: str) -> Any:
    # AsyncModel is a model: defining one needs the settings, importing this package must not.
    if name == "AsyncModel":
        from daf_orm.models import AsyncModel  # noqa: PLC0415

        return AsyncModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
