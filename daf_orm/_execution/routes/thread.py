"""A call on a worker thread, or on that of a synchronous parent.

The worker, not the awaiting task, ends the call: it cleans up and returns what the call holds, in the same hop. So
nothing is lost when the task is cancelled, cancelled again, or dropped with its event loop. A cancelled task waits
until the worker is done; then CancelledError is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from asgiref.sync import sync_to_async

from daf_orm._core import finalizers
from daf_orm._core.tasks import current_task
from daf_orm._core.tickets import new_ticket, take
from daf_orm._django import hops, sync_parents, thread_hops
from daf_orm._execution.call import STOP_INTERVAL, Call
from daf_orm.databases.base import CANCEL_TIMEOUT
from daf_orm.databases.cancellation import cut_off, stop_statement

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, ThreadPoolExecutor

    from daf_orm._execution.call import Ending
    from daf_orm._leases.lease import Lease

T = TypeVar("T")
logger = logging.getLogger("daf_orm")


class ThreadCall(Call[T]):
    """A call that a thread runs. ``on_parent``: the thread of the sync parent that waits for this code.

    ``subject`` is the function that the call is named after in tools that count hops; by default ``func``.
    """

    _done = False
    _wake: Callable[[], None] | None = None
    _stopping: threading.Event | None = None

    def __init__(  # noqa: PLR0913 - function, place, task, and ending
        self,
        lease: Lease,
        func: Callable[[bool], T],
        ending: Ending,
        *,
        final: bool = False,
        on_parent: bool = False,
        subject: object = None,
    ) -> None:
        super().__init__(lease, func, ending, final=final)
        self.subject = subject or func
        self._on_parent = on_parent
        self._task = current_task()
        self._ticket = new_ticket()  # for the thread that begins the call, or the task that takes it back
        self._aim = threading.Lock()  # held while a request to stop is under way, so that it cannot hit the next call

    # On the event loop

    async def perform(self, cancelled: asyncio.CancelledError | None = None) -> T:
        """Run the call and return its result, as :meth:`Call.perform` does."""
        self._cancelled = cancelled
        while True:
            try:
                result: T = await self._hop()
            except asyncio.CancelledError as error:
                if not self._abandon():
                    await self._wind_up()
                elif self._final:
                    self._cancelled = error  # it never started, but must run
                    continue
                else:
                    self._give_up()
                raise
            except GeneratorExit:  # the task was dropped
                if self._abandon():
                    finalizers.defer(self._perform_without_task)
                raise
            except BaseException:
                if self._abandon():  # no thread took it
                    self._give_up()
                raise
            if self._cancelled is not None:
                raise self._cancelled
            return result

    def perform_detached(self, context: contextvars.Context | None = None) -> None:
        """Run a final call that no task waits for, on a worker thread or on the sync parent's."""
        self._ticket = new_ticket()
        context = context or contextvars.copy_context()
        if self._lease.connections is None:
            self._submit(context)
        else:  # a child task's call may still be running
            self._lease.turn.when_free(lambda: self._submit(context))

    def _submit(self, context: contextvars.Context) -> None:
        if sync_parents.has_quit(self._lease.executor):
            sync_parents.leave_to_parent(self._lease.executor, functools.partial(context.run, self._call_quietly))
            return
        executor = self._lease.executor if self._lease.has_own_thread else self._spare_executor
        try:
            executor.submit(context.run, self._call_quietly)
        except RuntimeError:  # the pool is closed and shut down
            logger.warning(
                "The pool is closed: the lease that a dropped task held since %s was not ended in order.",
                self._lease.origin,
            )
            self._give_up()

    def _hop(self) -> Any:
        self._ticket = new_ticket()  # a cancelled hop may still reach its thread: there it finds its own ticket taken
        if not self._on_parent and thread_hops.are_ours():
            return thread_hops.hop(self._lease.executor, functools.partial(self.begin, self._ticket))
        hop = _on_parent if self._on_parent else _hop_to(self._lease.executor)
        return _named(hop, HopOfCall(self, self._ticket))()

    def _abandon(self) -> bool:
        """Take the call back before it starts. False if it has started."""
        return take(self._ticket)

    async def _wind_up(self) -> None:
        """Stop the call of a cancelled task if it may be stopped, and wait until its thread is done."""
        if not self._final:
            self._request_stop()
        done = asyncio.get_running_loop().create_future()
        self._wake = _waker(done)  # before _done is read, because the worker sets _done before it reads _wake
        while not (self._done or done.done()):
            with contextlib.suppress(asyncio.CancelledError):  # the first one is raised when the thread is done
                await asyncio.shield(done)

    def _perform_without_task(self) -> None:
        if self._final:
            self.perform_detached()
        else:
            self._give_up()

    # On the worker thread

    def begin(self, ticket: list[bool]) -> T | None:
        """Run the call, unless it was taken back. The hop returns its result, or raises its error."""
        if not take(ticket):
            return None
        try:
            if self._on_parent and self._lease.connections is not None:
                return self._run_in_hop_of_parent()
            return hops.run_on_lease(self._lease, self._run, self._task)
        except StopIteration as error:  # a future cannot carry it: the task would wait for ever
            raise RuntimeError("The function raised StopIteration.") from error
        finally:
            self._done = True
            if (wake := self._wake) is not None:
                wake()

    def _run(self) -> T:
        if self._lease.connections is None:
            sync_parents.end_left_calls()
        return super()._run()

    def _run_in_hop_of_parent(self) -> T:
        """Run within the turn that the waiting hop may have: the lookup finds the lease through the context."""
        hop = hops.current_hop()
        assert hop is not None
        hop.task = self._task
        return self._func(self._cancelled is not None)

    def _settle(self) -> None:
        sync_parents.end_left_calls()
        with self._aim:
            self._ended = True
        if self._stopping is not None:
            self._stopping.set()
            self._lease.stopping = False
            self._lease.cancelled_in_block |= self._lease.poison()

    def _call_quietly(self) -> None:
        if self._lease.ended:  # taken back meanwhile, with all that was open on it
            self._ending(self._lease, used=False)
            return
        try:
            self.begin(self._ticket)
        except Exception:
            logger.exception("Ending the lease that a dropped task held since %s failed.", self._lease.origin)

    # Stopping, from a second worker thread

    def _request_stop(self) -> None:
        if self._on_parent or self._lease.connections is None:
            return  # the connection is the parent's: its statement is not stopped
        with self._aim:
            if self._ended:
                return
            self._lease.stopping = True
            self._stopping = threading.Event()
        try:
            self._spare_executor.submit(self._stop)
        except RuntimeError:  # the pool is closed and shut down
            threading.Thread(target=self._stop, name="daf_orm-stop").start()

    @property
    def _spare_executor(self) -> Executor:
        """Threads beside the one that the call runs in, which may be the only one of the lease's own executor."""
        return self._lease.executor if self._lease.home is None else self._lease.home.executor

    def _stop(self) -> None:
        ended = self._stopping
        assert ended is not None
        patience = time.monotonic() + CANCEL_TIMEOUT
        while True:
            with self._aim:
                if self._ended:
                    return
                for wrapper in self._lease.in_use():
                    if wrapper.connection is not None and (not stop_statement(wrapper) or time.monotonic() > patience):
                        cut_off(wrapper)
            if ended.wait(STOP_INTERVAL):
                return


class HopOfCall:
    """The function that the worker thread runs for a call, named after the call's subject for tracers."""

    def __init__(self, call: ThreadCall[Any], ticket: list[bool]) -> None:
        self.subject = subject = _unwrapped(call.subject)
        self._call = call
        self._ticket = ticket
        self.__module__ = getattr(subject, "__module__", None) or type(subject).__module__
        self.__qualname__ = getattr(subject, "__qualname__", None) or type(subject).__qualname__
        self.__name__ = getattr(subject, "__name__", None) or type(subject).__name__

    def __call__(self) -> Any:
        return self._call.begin(self._ticket)


def _unwrapped(func: Any) -> Any:
    while isinstance(func, functools.partial):
        func = func.func
    return func


def _named(template: Any, hop: HopOfCall) -> Any:
    """Return an asgiref hop copied from a template, since asgiref inspects and decorates the function of a new one."""
    made = object.__new__(type(template))
    names = {"__module__": hop.__module__, "__qualname__": hop.__qualname__, "__name__": hop.__name__}
    vars(made).update(vars(template), func=hop, __wrapped__=hop, **names)
    return made


def _nothing() -> None:
    """Stand in for the function of a template."""


_on_parent = sync_to_async(_nothing, thread_sensitive=True)
_HOP: Final = "_daf_orm_hop"  # kept on the executor itself: it ends with it


def _hop_to(executor: Executor) -> Any:
    hop = getattr(executor, _HOP, None)
    if hop is None:
        hop = sync_to_async(_nothing, thread_sensitive=False, executor=cast("ThreadPoolExecutor", executor))
        setattr(executor, _HOP, hop)
    return hop


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _waker(done: asyncio.Future[None]) -> Callable[[], None]:
    loop = done.get_loop()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_set, done)

    return wake
