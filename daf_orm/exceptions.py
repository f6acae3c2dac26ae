"""The errors of the pool and of calls on a lease; ``daf_orm.BlockingCallError`` is the other one.

The pool's errors carry psycopg_pool's names. All of them are Django ``OperationalError``s, so code that already
handles a database that is out of reach handles an exhausted pool too.
"""

from django.db import OperationalError


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
