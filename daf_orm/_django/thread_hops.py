"""A run of synchronous code on a worker thread, as asgiref's ``sync_to_async(thread_sensitive=False)`` makes it.

It keeps the promises of asgiref. Context variables cross both ways. An exception that is being handled is handled in
the thread too. ``async_to_sync`` there finds the event loop, and a cancellation reaches the code that it waits for. It
is cheaper: the event loop is woken once, by the last step of the thread.

Tools that count or trace hops wrap methods of ``SyncToAsync``. While one is active, every hop is asgiref's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

import asgiref.sync
from asgiref import local as asgiref_local
from asgiref.sync import SyncToAsync

from daf_orm._core.call_thread import CallThread
from daf_orm._django import connections as leased_connections
from daf_orm._django import hops

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

_Storage: Final[Any] = getattr(asgiref_local, "_Storage", None)
"""The value that a Local of asgiref has in a context variable. In later releases it belongs to a thread."""
_rehomed: Final[Any] = getattr(asgiref_local, "_rehome", None)
_UNSET: Final = object()


def are_ours() -> bool:
    """Return True if DAF may make hops itself, because no tool has wrapped asgiref's."""
    return SyncToAsync.__call__ is _CALL and leased_connections.handles_hops_of(_HANDLER)


async def hop(executor: Executor, func: Callable[[], Any]) -> Any:
    """Run ``func`` on a thread of the executor and return its result. Its exceptions are raised unchanged.

    When the task is cancelled, CancelledError is raised at once: the function goes on. But if it waits for async code,
    by ``async_to_sync``, that is cancelled instead.
    """
    run = _Run(func)
    if isinstance(executor, CallThread):
        executor.places.run_call(run, executor, run.loop)
    else:
        executor.submit(run)
    try:
        try:
            result = await run.outcome
        except asyncio.CancelledError:
            if run.has_ended or not run.tasks_below or not await _cancel(run.tasks_below[0]):
                raise
            result = await run.wait_again()
    except GeneratorExit:  # the coroutine is closed wherever the garbage collector runs: that context is other code's
        raise
    except BaseException:
        _take_over(run.context)
        raise
    _take_over(run.context)
    return result


def _take_over(context: contextvars.Context) -> None:
    """Let the running context have the values of another one, which has ended on its thread."""
    for variable, value in context.items():
        if type(value) is _Storage:
            variable.set(_rehomed(value))
        elif variable.get(_UNSET) is not value:
            variable.set(value)


async def _cancel(task: asyncio.Task[Any]) -> bool:
    """Cancel a task that the thread waits for. False if that has ended it: else its function handles it."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True


class _Run:
    """A hop's work for the worker thread."""

    def __init__(self, func: Callable[[], Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.copy_context()
        self.outcome: asyncio.Future[Any] = self.loop.create_future()
        self.tasks_below: list[asyncio.Task[Any]] = []
        """The tasks that the thread waits for in ``async_to_sync``."""
        self.has_ended = False
        self._func = func
        self._task = asyncio.current_task()
        self._handled = sys.exception()
        self._result: Any = None
        self._error: BaseException | None = None

    # On the worker thread

    def __call__(self) -> None:
        known = SyncToAsync.threadlocal  # for async_to_sync
        known.main_event_loop = self.loop
        known.main_event_loop_pid = os.getpid()
        known.task_context = self.tasks_below
        try:
            self._result = hops.run_as_hop(self._run_in_context, self._task, self.loop)
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting task
            self._error = error
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._end)

    def refuse(self, error: BaseException) -> None:
        """Let the waiting task raise the error."""
        self._error = error
        self._wake()

    def _run_in_context(self) -> Any:
        return self.context.run(self._run)

    def _run(self) -> Any:
        for variable, value in self.context.items():
            if type(value) is _Storage:  # asgiref's Local objects get their values in this thread
                variable.set(_rehomed(value))
        if self._handled is None:
            return self._func()
        try:
            raise self._handled  # noqa: TRY301 - as asgiref does
        except BaseException:  # noqa: BLE001 - for sys.exception() in the function
            return self._func()

    # On the event loop

    def _end(self) -> None:
        self.has_ended = True
        if not self.outcome.done():
            if self._error is None:
                self.outcome.set_result(self._result)
            else:
                self.outcome.set_exception(self._error)
        self._error = self._result = None
        del self.outcome  # an error leads to frames that lead here: no circle

    async def wait_again(self) -> Any:
        """Wait for the outcome, after a cancellation that the function handles."""
        self.outcome = self.loop.create_future()
        return await self.outcome


def _own(name: str) -> Any:
    """Return a method of ``SyncToAsync``; None if a tool has replaced it already."""
    found = vars(SyncToAsync)[name]
    is_asgirefs = type(found) is FunctionType and found.__globals__ is vars(asgiref.sync)
    return found if is_asgirefs else None


_CALL: Final = _own("__call__")
_HANDLER: Final = _own("thread_handler")
