# The public names. At run time each is loaded at its first use.

from daf_orm import transaction
from daf_orm._core.blocking_call import BlockingCallError
from daf_orm._pool.process_pool import get_pool
from daf_orm.cursor import cursor
from daf_orm.detection import BlockingCall, allow_blocking
from daf_orm.exceptions import PoolClosed, PoolTimeout, TooManyRequests
from daf_orm.manager import AsyncManager
from daf_orm.models import AsyncModel
from daf_orm.notifications import notifications
from daf_orm.owners import pinned
from daf_orm.query import AsyncQuerySet
from daf_orm.sync import await_safe, database_sync_to_async, runs_in_thread

__version__: str
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
    "notifications",
    "pinned",
    "runs_in_thread",
    "transaction",
]
