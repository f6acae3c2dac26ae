"""What asgiref keeps of the synchronous callers that wait for async code."""

from __future__ import annotations

import contextvars

from asgiref.sync import AsyncToSync


def context_without_returned_callers() -> contextvars.Context:
    """Return a copy of the context, without synchronous callers that have returned meanwhile.

    One that is cancelled leaves its executor behind in the context of what it called. Work given to it never runs.
    """
    executor = getattr(AsyncToSync.executors, "current", None)
    while executor is not None and executor._broken:
        executor = executor._old_executor
    context = contextvars.copy_context()
    context.run(setattr, AsyncToSync.executors, "current", executor)
    return context
