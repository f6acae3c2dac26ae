"""The errors of the pool and of calls on a lease. Blocking calls raise ``daf_orm.BlockingCallError``.

The pool's errors have psycopg_pool's names. All of them are Django ``OperationalError``s, so code that handles an
unreachable database handles an exhausted pool too.
"""

from django.db import OperationalError


class PoolTimeout(OperationalError):
    """No lease, or no turn on a lease, became free within the time limit."""


class TooManyRequests(OperationalError):
    """``MAX_WAITING`` calls already wait for a lease; or ``MAX_PINNED`` owners keep one, and none has returned it."""


class PoolClosed(OperationalError):
    """The pool was closed before a lease was asked for, or during the wait for it."""


class CallCancelled(OperationalError):
    """A statement or commit was refused because its task has been cancelled.

    Only worker threads see it. The cancelled task itself gets :exc:`asyncio.CancelledError`.
    """
