"""The thread of a lease's calls: an executor of one thread, which begins a call in few steps.

``ThreadPoolExecutor`` makes a future, with a condition, for each function. A call tells its event loop itself.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import weakref
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from daf_orm._core.places import Places

    _Queue = SimpleQueue[Callable[[], object] | None]

P = ParamSpec("P")
T = TypeVar("T")
logger: Final = logging.getLogger("daf_orm")
_numbers: Final = itertools.count()
_started: Final[weakref.WeakSet[CallThread]] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):  # a child has none of the threads, and another one may have held a lock
    os.register_at_fork(after_in_child=_started.clear)


class CallThread(Executor):
    """One thread for the calls of a lease, which queue for places with those of other leases.

    Other functions submitted to it run without a place. The thread starts with the first of them. It ends after
    :meth:`shutdown`, with the executor's last reference, and at the end of the process, once it has run what it has.
    """

    def __init__(self, places: Places) -> None:
        self.places = places
        self._work: _Queue = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_shut = False

    def run(self, work: Callable[[], object]) -> None:
        """Run ``work``, which must not raise. Raises RuntimeError after :meth:`shutdown`."""
        with self._lock:
            if self._is_shut:
                raise RuntimeError("The thread of this lease takes no calls after shutdown().")
            if self._thread is None:
                self._start()
            self._work.put(work)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function, and return the future of its result, as every executor does."""
        future: Future[T] = Future()
        self.run(partial(_complete, future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Executor's
        """Let the thread end when it has run what it has. ``wait``: until it has ended."""
        with self._lock:
            if not self._is_shut:
                self._is_shut = True
                self._work.put(None)
            thread = self._thread
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def _start(self) -> None:
        # A daemon, because Python waits for others before it lets anything end them: _end_all() waits for these.
        thread = threading.Thread(target=_serve, args=(self._work,), name=f"daf_orm_{next(_numbers)}", daemon=True)
        thread.start()  # if none can be started now, the next call tries again
        self._thread = thread
        weakref.finalize(self, self._work.put, None).atexit = False
        _started.add(self)


def _serve(queue: _Queue) -> None:
    while (work := queue.get()) is not None:
        try:
            work()
        except BaseException:  # the thread goes on, or later calls would wait for ever
            logger.critical("A call on the thread of a lease raised an error that was not for its task.", exc_info=True)
        del work


def _complete(future: Future[Any], func: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = func()
    except BaseException as error:  # noqa: BLE001 - raised where the result is wanted
        future.set_exception(error)
        del future  # the error's traceback leads here: no circle
    else:
        future.set_result(result)


@atexit.register
def _end_all() -> None:
    """Wait for the calls that still run at the end of the process."""
    threads = list(_started)
    for each in threads:
        each.shutdown(wait=False)
    for each in threads:
        each.shutdown()
