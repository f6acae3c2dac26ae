"""Executors that asgiref keeps: those of requests, and those of synchronous callers that wait for async code."""

from __future__ import annotations

import asyncio
import contextvars
import os
from typing import TYPE_CHECKING, Any

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext

if TYPE_CHECKING:
    from contextvars import Token


def set_request_executor(executor: Any) -> Token[ThreadSensitiveContext]:
    """Run the thread-sensitive calls of this context on an executor, until :func:`reset_request_executor`."""
    context = ThreadSensitiveContext()
    SyncToAsync.context_to_thread_executor[context] = executor
    return SyncToAsync.thread_sensitive_context.set(context)


def reset_request_executor(token: Token[ThreadSensitiveContext]) -> None:
    """Undo :func:`set_request_executor` in the task that called it."""
    SyncToAsync.thread_sensitive_context.reset(token)


def forget_request_executor() -> None:
    """Run the thread-sensitive calls of this context on asgiref's own thread."""
    SyncToAsync.thread_sensitive_context.set(None)  # type: ignore[arg-type]


def calling_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that waits for this thread, if one does."""
    local = SyncToAsync.threadlocal
    if getattr(local, "main_event_loop_pid", None) != os.getpid():
        return None
    loop: asyncio.AbstractEventLoop | None = getattr(local, "main_event_loop", None)
    return loop


def is_temporary(loop: asyncio.AbstractEventLoop) -> bool:
    """Return True if ``async_to_sync`` has made the loop for one coroutine."""
    return loop in AsyncToSync.loop_thread_executors


def has_sync_caller() -> bool:
    """Return True if synchronous code may be waiting for this code, by ``async_to_sync``."""
    return _waiting_executor() is not None or is_temporary(asyncio.get_running_loop())


def context_without_returned_callers() -> contextvars.Context:
    """Return a copy of the context, without synchronous callers that have returned meanwhile.

    A cancelled caller leaves its executor in the context of the code it called. Work given to it never runs.
    """
    context = contextvars.copy_context()
    context.run(setattr, AsyncToSync.executors, "current", _waiting_executor())
    return context


def _waiting_executor() -> Any:
    """Return the executor of the nearest synchronous caller that has not returned; None if there is none."""
    executor = getattr(AsyncToSync.executors, "current", None)
    while executor is not None and executor._broken:
        executor = executor._old_executor
    return executor
