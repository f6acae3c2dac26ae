"""First come, first served: queues whose waiters are coroutines of any event loop, or plain threads."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast

from daf_orm._core import finalizers
from daf_orm._core.bridge import current_bridge
from daf_orm._core.tickets import new_ticket, take
from daf_orm.exceptions import PoolTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Waiter(Generic[T]):
    """One place in a queue.

    The queue may be served on a worker thread, for an event loop. ``loop`` is the one that waits; None: a thread waits.
    """

    __slots__ = ("_callbacks", "_claim", "_error", "_gate", "_item", "_place", "_woken", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.loop = loop
        self._place = new_ticket()  # taken by what comes first: handing over the item, or withdrawing
        self._claim = new_ticket()  # to the item, which may be handed over as the event loop is closed
        self._item: T | None = None
        self._error: Exception | None = None
        self._woken: asyncio.Future[None] | None = None
        self._gate: threading.Lock | None = None
        self._callbacks: list[Callable[[], object]] = []
        if loop is not None:
            self._woken = loop.create_future()
        else:
            self._gate = threading.Lock()
            self._gate.acquire()

    def give(self, item: T) -> bool:
        """Hand the item over. False if the waiter has left, or its event loop is closed."""
        if self._woken is not None and (self._woken.cancelled() or self._woken.get_loop().is_closed()):
            return False
        self._item = item
        if not take(self._place):
            return False
        # A closed loop wakes no task. Other waiters may keep the loop, and so its tasks, from being collected.
        return self._wake() or not take(self._claim)

    def fail(self, error: Exception) -> None:
        """Let the wait raise ``error``, unless the waiter has left."""
        self._error = error
        if take(self._place):
            self._wake()

    def withdraw(self) -> bool:
        """Leave. False if the item was handed over first: the caller must then release :meth:`item`."""
        return take(self._place) or not take(self._claim)

    def item(self) -> T | None:
        """Return the item that was handed over; None if the wait was made to fail."""
        return None if self._error is not None else self._item

    @property
    def has_failed(self) -> bool:
        """True if the wait was made to fail: no item was handed over."""
        return self._error is not None

    def when_given(self, func: Callable[[], object]) -> None:
        """Call ``func`` when the item is handed over, in the thread that does it."""
        self._callbacks.append(func)
        if not self._place:  # perhaps before it was added
            self._call_back()

    async def wait(self, timeout: float | None) -> T:
        """Wait on the event loop; TimeoutError after ``timeout`` seconds."""
        assert self._woken is not None
        timer = None if timeout is None else self._woken.get_loop().call_later(timeout, _wake, self._woken)
        try:
            await self._woken
        finally:
            if timer is not None:
                timer.cancel()
        return self.outcome()

    def as_future(self) -> asyncio.Future[None]:
        """Return a future of the event loop that is done when the item is handed over."""
        assert self._woken is not None
        return self._woken

    def wait_blocking(self, timeout: float | None) -> T:
        """Wait on a thread; TimeoutError after ``timeout`` seconds."""
        assert self._gate is not None
        if self._gate.acquire(timeout=-1 if timeout is None else timeout):
            self._gate.release()
        return self.outcome()

    def outcome(self) -> T:
        """Return the item after the wait, and claim it. TimeoutError if none was handed over."""
        if self._place:
            raise TimeoutError
        if self._error is not None:
            raise self._error
        take(self._claim)
        return cast("T", self._item)

    def _wake(self) -> bool:
        """Wake the waiting task or thread. False if the event loop was closed meanwhile."""
        if self._woken is None:
            assert self._gate is not None
            self._gate.release()
            self._call_back()
        elif asyncio._get_running_loop() is self.loop:  # noqa: SLF001 - the public way to ask raises an exception
            _wake(self._woken)
        else:
            loop = self._woken.get_loop()
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_wake, self._woken)
            return not loop.is_closed()
        return True

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                func = self._callbacks.pop()
            except IndexError:  # the other thread has it
                return
            func()


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


class WaitQueue(Generic[T]):
    """Waiters in the order they came. Not thread-safe: its owner's lock guards every method."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        # Ordered, because a cancelled waiter leaves from the middle and must not cost a scan. Most queues stay empty.
        self.waiters: OrderedDict[Waiter[T], None] | None = None

    def __len__(self) -> int:
        return 0 if self.waiters is None else len(self.waiters)

    def join(self, loop: asyncio.AbstractEventLoop | None) -> Waiter[T]:
        """Add a waiter at the end. ``loop`` is the event loop that waits; None is a thread."""
        waiter: Waiter[T] = Waiter(loop)
        if self.waiters is None:
            self.waiters = OrderedDict()
        self.waiters[waiter] = None
        return waiter

    def leave(self, waiter: Waiter[T]) -> None:
        """Remove a waiter that gave up."""
        if self.waiters is not None:
            self.waiters.pop(waiter, None)

    def pop(self) -> Waiter[T] | None:
        """Remove and return the first waiter; None if there is none."""
        return self.waiters.popitem(last=False)[0] if self.waiters else None

    def fail_all(self, error: Exception) -> None:
        """Let every waiter raise ``error``."""
        while (waiter := self.pop()) is not None:
            waiter.fail(error)


_ONE_TURN: Final = (True,)


class FifoLock:
    """A lock for one call at a time, taken in order of arrival by coroutines and threads alike.

    It belongs to the call that took it, not to a thread: an event loop takes it and a worker thread releases it.
    """

    thread: int | None = None
    """Identity of the thread that runs the present call, once it does."""
    ended = 0.0
    """When the last call ended, by ``time.monotonic()``."""

    def __init__(self) -> None:
        self._free = new_ticket()  # the call that takes it has the turn
        self._lock = threading.Lock()  # of the queue
        self._queue: WaitQueue[None] = WaitQueue()

    @property
    def taken(self) -> bool:
        """True while a call has the turn."""
        return not self._free

    async def acquire(self, timeout: float | None) -> None:
        """Wait for the turn on the event loop; PoolTimeout after ``timeout`` seconds (None: for ever)."""
        if self.acquire_at_once():
            return
        waiter = self._join(asyncio.get_running_loop())
        if waiter is None:
            return
        try:
            await waiter.wait(timeout)
        except GeneratorExit:  # a finalizer takes no lock; the queue passes over a waiter that has withdrawn
            if not waiter.withdraw():
                finalizers.defer(self.release)
            raise
        except BaseException as error:
            self._give_up(waiter, error, timeout)
            raise

    def acquire_at_once(self) -> bool:
        """Take the turn, if it is free."""
        try:
            return self._free.pop()
        except IndexError:
            return False

    def acquire_blocking(self, timeout: float | None) -> None:
        """Wait for the turn on a worker thread; PoolTimeout after ``timeout`` seconds (None: for ever)."""
        if (bridge := current_bridge()) is not None:  # synchronous code on an event loop
            bridge.wait_until_done(self.acquire(timeout))
            return
        waiter = self._join(None)
        if waiter is None:
            return
        try:
            waiter.wait_blocking(timeout)
        except BaseException as error:
            self._give_up(waiter, error, timeout)
            raise

    def when_free(self, func: Callable[[], object]) -> None:
        """Take the turn when it is free, without a thread that waits; then call ``func``, which must not block."""
        waiter = self._join(None)
        if waiter is None:
            func()
        else:
            waiter.when_given(func)

    def acquire_unless(self, given_up: Callable[[], bool], interval: float) -> bool:
        """Wait for the turn on a worker thread. Every ``interval`` seconds ``given_up()`` is asked: True ends the wait.

        Return False if it was given up.
        """
        if (bridge := current_bridge()) is not None:
            return bool(bridge.wait_until_done(self._acquire_unless_on_loop(given_up, interval)))
        waiter = self._join(None)
        while waiter is not None:
            try:
                waiter.wait_blocking(interval)
            except TimeoutError:
                if given_up():
                    self._leave(waiter)
                    return False
            else:
                break
        return True

    async def _acquire_unless_on_loop(self, given_up: Callable[[], bool], interval: float) -> bool:
        waiter = self._join(asyncio.get_running_loop())
        if waiter is None:
            return True
        given = waiter.as_future()
        try:
            while not (await asyncio.wait({given}, timeout=interval))[0]:
                if given_up():
                    self._leave(waiter)
                    return False
        except BaseException:
            self._leave(waiter)
            raise
        waiter.outcome()
        return True

    def release(self) -> None:
        """End the turn; the first waiter has it next."""
        self.thread = None
        self.ended = time.monotonic()
        if not self._queue.waiters:
            self._free[:] = _ONE_TURN
            if not self._queue.waiters or not self.acquire_at_once():
                return
            # A waiter has joined before it was free.
        while True:
            with self._lock:
                waiter = self._queue.pop()
                if waiter is None:
                    self._free[:] = _ONE_TURN
                    return
            if waiter.give(None):  # without the lock: this calls the functions given to when_free()
                return

    def _join(self, loop: asyncio.AbstractEventLoop | None) -> Waiter[None] | None:
        """Take the turn and return None, or return a place in the queue."""
        if self.acquire_at_once():
            return None
        with self._lock:
            waiter = self._queue.join(loop)
            if self.acquire_at_once():  # released since, by a call that saw no waiter
                self._queue.leave(waiter)
                return None
            return waiter

    def _leave(self, waiter: Waiter[None]) -> None:
        with self._lock:
            self._queue.leave(waiter)
            served = not waiter.withdraw()
        if served:
            self.release()

    def _give_up(self, waiter: Waiter[None], error: BaseException, timeout: float | None) -> None:
        self._leave(waiter)
        if isinstance(error, TimeoutError):
            message = (
                f"The connection of this transaction or cursor was in use by another call for {timeout} s. "
                "Calls on one lease run one at a time: shorten them, or raise DAF_ORM['TIMEOUT']."
            )
            raise PoolTimeout(message) from error


class FifoSemaphore:
    """A number of slots, taken on event loops in order of arrival and released on any thread."""

    __slots__ = ("_free", "_lock", "_queue")

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._queue: WaitQueue[None] = WaitQueue()
        self._free = places

    async def acquire(self, timeout: float | None) -> None:
        """Wait for a slot; TimeoutError after ``timeout`` seconds (None: for ever)."""
        with self._lock:
            if self._free:
                self._free -= 1
                return
            waiter = self._queue.join(asyncio.get_running_loop())
        try:
            await waiter.wait(timeout)
        except GeneratorExit:  # a finalizer takes no lock; the queue passes over a waiter that has withdrawn
            if not (waiter.withdraw() or waiter.has_failed):
                finalizers.defer(self.release)
            raise
        except BaseException:
            with self._lock:
                self._queue.leave(waiter)
                served = not (waiter.withdraw() or waiter.has_failed)
            if served:
                self.release()
            raise

    def fail_all(self, error: Exception) -> None:
        """Let every waiter raise ``error``."""
        with self._lock:
            self._queue.fail_all(error)

    def release(self) -> None:
        """Release a slot; the first waiter has it next."""
        with self._lock:
            while (waiter := self._queue.pop()) is not None:
                if waiter.give(None):
                    return
            self._free += 1
