"""A call that runs on the event loop itself: where it has to wait for its database, the loop goes on.

Mechanism: the code runs in a greenlet, its *bridge*. Where it has to wait, it switches to the coroutine that runs it,
which awaits and switches back. So the task stays the current task, and context variables are its own.

Invariant: nothing in the stack of a greenlet refers to the task. The garbage collector does not look into that stack,
so a task that its loop has dropped would never be ended.

Needs the package greenlet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from greenlet import error as GreenletError  # noqa: N812 - a class by a function's name
from greenlet import getcurrent, greenlet

from daf_orm._core import bridge as bridges
from daf_orm._core.bridge import BridgeElsewhere
from daf_orm._core.locks import FifoLock
from daf_orm._django import hops
from daf_orm._execution.call import STOP_INTERVAL, Call
from daf_orm.databases.base import CANCEL_TIMEOUT
from daf_orm.databases.cancellation import cut_off, stop_statement_on_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from types import FrameType

    from daf_orm._core.bridge import Waiting
    from daf_orm._execution.call import Ending
    from daf_orm._leases.lease import Lease

T = TypeVar("T")
logger = logging.getLogger("daf_orm")
PATIENCE: Final = 0.01
"""Seconds that a bridge may keep the event loop before it lets other callbacks run."""


class _Breath:
    """The value a bridge switches with to let other callbacks of the loop run."""


_BREATH: Final = _Breath()
_AWAITABLE: Final = object()
"""The value a bridge switches with to wait for its attribute ``_awaitable``."""


class Done:
    """The end of a task that goes on even if the bridge that waits for it is cancelled."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._future: asyncio.Future[None] | None = None
        task.add_done_callback(self._note)

    @property
    def has_happened(self) -> bool:
        """True once the task has ended."""
        return self._task.done()

    def renew_future(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a new future, which is done when the task has ended."""
        self._future = loop.create_future()
        return self._future

    def _note(self, _: object) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class Bridge(greenlet):  # type: ignore[misc] # it is not typed in full
    """One run of synchronous code on the event loop, as a call on a lease.

    ``outer`` is the bridge that waits for it, if it runs inside the call of another.
    """

    hop: Any = None
    is_cut = False
    is_over = False
    _turn: FifoLock | None = None
    _resumed = 0.0
    _step: Any = None
    _awaitable: Any = None
    _coroutine: Any = None

    def __init__(self, func: Callable[[], Any], lease: Lease, outer: Bridge | None = None) -> None:
        greenlet.__init__(self, func)
        self.gr_context = getcurrent().gr_context  # the task's own: both sides see the variables that either sets
        self.loop = asyncio.get_running_loop()
        self.lease = lease
        if outer is not None:
            self.hop = outer.hop

    @property
    def turn(self) -> FifoLock:
        """A lock for the calls of the code that it waits for."""
        if self._turn is None:
            self._turn = FifoLock()
        return self._turn

    @property
    def outer_frame(self) -> FrameType | None:
        """The frame of the coroutine that runs it."""
        frame: FrameType | None = self.parent.gr_frame
        return frame

    def begins_with(self, frame: FrameType) -> bool:
        """Return True if a frame is the outermost of the bridge's stack."""
        return frame.f_code is _BEGIN

    # In the bridge

    def wait_for(self, waiting: Waiting) -> None:
        """Return when the event has happened."""
        if not self.is_cut:
            self.parent.switch(waiting)

    def wait_until_done(self, awaitable: Awaitable[Any]) -> Any:
        """Return what the awaitable returns, and raise what it raises."""
        if self.is_cut:
            raise RuntimeError("The task that ran this code was dropped: nothing can be awaited any more.")
        self._awaitable = awaitable
        del awaitable  # it may lead to the task
        return self.parent.switch(_AWAITABLE)

    def wait_through(self, task: asyncio.Task[Any]) -> None:
        """Return when a task has ended, whatever cancellations arrive meanwhile."""
        self.wait_for(Done(task))

    def run_within(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a coroutine whose calls run inside the call that waits here, or raise its error."""
        self._coroutine = coroutine
        del coroutine  # it may lead to the task
        return self.wait_until_done(bridges.within(self, self._take_coroutine()))

    def _take_coroutine(self) -> Coroutine[Any, Any, Any]:
        coroutine: Coroutine[Any, Any, Any] = self._coroutine
        self._coroutine = None
        return coroutine

    def breathe(self) -> None:
        """Let the event loop do other things, if this code has kept it for long."""
        if time.monotonic() - self._resumed > PATIENCE and not self.is_cut:
            self.parent.switch(_BREATH)

    # In the coroutine that runs it

    async def drive(self, when_cancelled: Callable[[asyncio.CancelledError], None]) -> Any:
        """Run the code to its end; return what it returns, and raise what it raises.

        ``when_cancelled`` is called with a cancellation that arrives while the code waits for its database: it does not
        end that wait. A cancellation ends other waits, as in any coroutine.
        """
        step = self._resume()
        while not self.dead:
            if step is _BREATH:
                await self._let_others_run(when_cancelled)
                step = self._resume()
            elif step is not _AWAITABLE:
                await self._until_happened(step, when_cancelled)
                step = self._resume()
            else:
                awaitable, self._awaitable = self._awaitable, None
                try:
                    value = await awaitable
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - raised in the code that waits
                    step = self._resume(error=error)
                else:
                    step = self._resume(value)
        return step

    def cut(self) -> None:
        """Run the code of a dropped task to its end without waiting. Raises its error.

        Raises BridgeElsewhere in another thread than the loop's.
        """
        self.is_cut = True
        try:
            while not self.dead:
                error = asyncio.CancelledError("The task was dropped.") if self._step is _AWAITABLE else None
                self._resume(error=error)
        except GreenletError as problem:
            raise BridgeElsewhere("A task of another thread's event loop was dropped in this one.") from problem

    async def _until_happened(self, waiting: Waiting, when_cancelled: Callable[[asyncio.CancelledError], None]) -> None:
        while not waiting.has_happened:
            try:
                await waiting.renew_future(self.loop)
            except asyncio.CancelledError as error:
                when_cancelled(error)

    async def _let_others_run(self, when_cancelled: Callable[[asyncio.CancelledError], None]) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            when_cancelled(error)

    def _resume(self, *value: Any, error: BaseException | None = None) -> Any:
        """Switch to the code until it waits again, or ends. It has its own thread state meanwhile."""
        known, state = bridges.thread, hops.thread_state
        outer, hop = known.bridge, state.hop
        known.bridge, state.hop = self, self.hop
        self._resumed = time.monotonic()
        try:
            self._step = self.switch(*value) if error is None else self.throw(error)
            return self._step
        finally:
            self.is_over = self.dead
            self.hop = state.hop
            known.bridge, state.hop = outer, hop


class NativeCall(Call[T]):
    """A call in the task itself. ``within`` is the bridge that waits for it, if it runs inside the call of another."""

    _stopper: asyncio.Task[None] | None = None

    def __init__(
        self,
        lease: Lease,
        func: Callable[[bool], T],
        ending: Ending,
        final: bool,  # noqa: FBT001 - for each query
        within: Bridge | None,
    ) -> None:
        super().__init__(lease, func, ending, final=final)
        self._within = within
        self._bridge = Bridge(self._begin, lease, within)

    async def perform(self, cancelled: asyncio.CancelledError | None = None) -> T:
        """Run the call and return its result, as :meth:`Call.perform` does."""
        self._cancelled = cancelled
        lease, cut = self._lease, self.cut
        if self._within is None:
            lease.running = cut
        try:
            result: T = await self._bridge.drive(self._stop_statement)
        except GeneratorExit:  # the task was dropped
            self.cut()
            raise
        except BaseException:
            if self._cancelled is not None:
                raise self._cancelled from None
            raise
        finally:
            if lease.running is cut:  # and not yet that of the next call
                lease.running = None
        if self._cancelled is not None:
            raise self._cancelled
        return result

    def cut(self) -> None:
        """End the call of a dropped task or closed loop now. Its connections are closed, which rolls back.

        Never raises.
        """
        if self._bridge.is_over:
            return
        self._lease.stopping = not self._ended  # code that ends the call may still clean up
        connections: list[Any] = [wrapper.connection for wrapper in self._lease.in_use()]
        try:
            self._bridge.cut()
        except BridgeElsewhere:  # in another thread than the loop's: the code can end there only
            for connection in connections:
                if connection is not None:
                    connection.close_at_once()
            self._ended = True
            if self._lease.connections is not None:
                self._lease.connections.needs_cleaning = True
            self._give_up()
        except BaseException:
            logger.debug("A call that was dropped has ended with an error.", exc_info=True)

    def _begin(self) -> T:
        try:
            return hops.run_on_lease(self._lease, self._run)
        except StopIteration as error:  # a coroutine cannot raise it
            raise RuntimeError("The function raised StopIteration.") from error

    def _stop_statement(self, error: asyncio.CancelledError) -> None:
        """Have the statement stopped, if it may be: the task was cancelled while the call waits for its server."""
        self._cancelled = self._cancelled or error
        if self._final or self._ended or self._stopper is not None:
            return
        self._lease.stopping = True
        self._stopper = asyncio.get_running_loop().create_task(self._keep_stopping(), name="daf_orm-stop")

    async def _keep_stopping(self) -> None:
        patience = time.monotonic() + CANCEL_TIMEOUT
        while not self._ended:
            # asyncio.run() cancels all tasks at its end. The statement that one of them waits for has to end, too.
            with contextlib.suppress(asyncio.CancelledError):
                await self._request_stop_on_loop(patience)
                await asyncio.sleep(STOP_INTERVAL)

    async def _request_stop_on_loop(self, patience: float) -> None:
        for wrapper in self._lease.in_use():
            if wrapper.connection is not None and (
                not await stop_statement_on_loop(wrapper) or time.monotonic() > patience
            ):
                cut_off(wrapper)

    def _settle(self) -> None:
        """End the time in which a request to stop may reach the connection. In the bridge."""
        self._ended = True
        if self._stopper is not None:
            if self._bridge.is_cut:
                self._stopper.cancel()
            else:
                self._bridge.wait_through(self._stopper)
        if self._lease.stopping:
            self._lease.stopping = False
            self._lease.cancelled_in_block |= self._lease.poison()


_BEGIN: Final = NativeCall._begin.__code__  # noqa: SLF001 - the class's own module
