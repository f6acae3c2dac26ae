"""Every error that daf_orm raises on its own account.

The pool's errors carry psycopg_pool's names. All of them are Django ``OperationalError``s, so code that already
handles a database that is out of reach handles an exhausted pool too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import SynchronousOnlyOperation
from django.db import OperationalError

if TYPE_CHECKING:
    from daf_orm.detection.call import BlockingCall


class PoolTimeout(OperationalError):
    """No lease, or no turn on a lease, became free within the time allowed."""


class TooManyRequests(OperationalError):
    """The queue for a lease already holds ``MAX_WAITING`` waiters."""


class PoolClosed(OperationalError):
    """The pool was closed before or while a lease was asked for."""


class CallCancelled(OperationalError):
    """A statement or commit was refused because the task that wanted it has been cancelled.

    Only worker threads see it: the cancelled task itself gets :exc:`asyncio.CancelledError`.
    """


class BlockingCallError(SynchronousOnlyOperation):
    """Synchronous database code was about to block an event loop. ``call`` says where, what, and what to write."""

    def __init__(self, call: BlockingCall) -> None:
        super().__init__(str(call))
        self.call = call
