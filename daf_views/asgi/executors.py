"""The executor of a request's thread-sensitive work: daf_orm's shared threads instead of one thread per request.

Django's handler gives each request one thread, so that synchronous code of the request meets the same thread-local
database connections, one call at a time. DAF keeps the part that such code needs: one call at a time, and a
connection that no other request uses. Each call has a lease of daf_orm's pool, or that of its atomic block.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from daf_orm import database_sync_to_async
from daf_views._django.executors import forget_request_executor, reset_request_executor, set_request_executor

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from asgiref.sync import ThreadSensitiveContext

P = ParamSpec("P")
T = TypeVar("T")


class RequestThreads(Executor):
    """Runs the thread-sensitive calls of one request, in the order they came.

    A call that is cancelled while it waits never runs. One that runs has its statement stopped, and :meth:`join` waits
    until it has ended. It has no thread and may be used for as long as anything refers to it: by tasks that outlive
    the request, too.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_RequestCall] = deque()
        self._running: asyncio.Task[None] | None = None

    def submit(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``func`` when those before it have ended. Called on the event loop, by asgiref."""
        call = _RequestCall(functools.partial(func, *args, **kwargs))
        if asyncio.get_running_loop() is not self._loop:  # one that code of the request runs in a thread: not our turn
            call.start()
        else:
            self._waiting.append(call)
            if self._running is None:
                self._run_next()
        return cast("Future[T]", call.future)

    @property
    def is_busy(self) -> bool:
        """Return True if a call runs."""
        return self._running is not None

    async def join(self) -> None:
        """Wait until no call runs."""
        while self._running is not None:
            await asyncio.wait([self._running])

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's
        """Do nothing: there is no thread to end."""

    def _run_next(self) -> None:
        self._running = None
        while self._waiting:
            call = self._waiting.popleft()
            if not call.future.cancelled():
                self._running = call.start()
                self._running.add_done_callback(lambda _: self._run_next())
                return


class _RequestCall:
    __slots__ = ("context", "func", "future")

    def __init__(self, func: Callable[[], Any]) -> None:
        self.func = func
        self.future: Future[Any] = Future()
        # With its lease, if it stands in an atomic block; without this executor, or daf_orm's own hop would come back
        # here.
        self.context = contextvars.copy_context()
        self.context.run(forget_request_executor)

    def start(self) -> asyncio.Task[None]:
        """Run it in a new task, which is cancelled with its future."""
        task = asyncio.get_running_loop().create_task(self._run(), context=self.context)
        self.future.add_done_callback(lambda future: task.cancel() if future.cancelled() else None)
        return task

    async def _run(self) -> None:
        """Run it on a lease. Its outcome is set on the future; this task itself never fails."""
        try:
            result, error = await database_sync_to_async(self._outcome)()
        except BaseException as failure:  # noqa: BLE001 - no lease, or cancelled
            result, error = None, failure
        if self.future.cancelled():
            return
        if isinstance(error, asyncio.CancelledError):
            self.future.cancel()
        elif error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)

    def _outcome(self) -> tuple[Any, BaseException | None]:
        # Handed over as a value: a StopIteration could not leave a coroutine.
        try:
            return self.func(), None
        except BaseException as error:  # noqa: BLE001 - raised again where the future is awaited
            return None, error

    _outcome.continues_hop = True  # type: ignore[attr-defined] # daf_orm.test.count_hops() has counted asgiref's


class OneThread(ThreadPoolExecutor):
    """Runs the thread-sensitive calls of one request on one thread, as Django's handler does, outside the pool.

    For code that keeps data of a request in a ``threading.local``.
    """

    def __init__(self) -> None:
        super().__init__(max_workers=1, thread_name_prefix="daf_views-request")
        self._last: Future[Any] | None = None

    def submit(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``func`` when those before it have ended."""
        self._last = future = super().submit(func, *args, **kwargs)
        return future

    @property
    def is_busy(self) -> bool:
        """Return True if a call runs."""
        return self._last is not None and not self._last.done()

    async def join(self) -> None:
        """Wait until no call runs."""
        await asyncio.wrap_future(self.submit(lambda: None))


def enter_request_threads(
    *, one_thread: bool = False
) -> tuple[RequestThreads | OneThread, Token[ThreadSensitiveContext]]:
    """Let this task, and those it starts, run thread-sensitive code on new :class:`RequestThreads`.

    ``one_thread``: on :class:`OneThread` instead. Shut it down in the end.
    """
    threads = OneThread() if one_thread else RequestThreads()
    return threads, set_request_executor(threads)


def leave_request_threads(token: Token[ThreadSensitiveContext]) -> None:
    """Undo :func:`enter_request_threads` in the task that called it."""
    reset_request_executor(token)
