"""The pool's threads: they stop statements and close connections. A lease's calls run in a separate thread."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from daf_orm._leases.connection_set import ConnectionSet
    from daf_orm._leases.lease import Lease


class PoolThreads:
    """An executor that can be started again after its end."""

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._ended = False
        self.executor = self._new_executor()

    def submit(self, func: Callable[[], None], lease: Lease) -> None:
        """Run ``func`` in the lease's thread if it has one, else in the pool's. Works after the end too."""
        try:
            (lease.executor if lease.has_own_thread else self.executor).submit(func)
        except RuntimeError:  # ended
            threading.Thread(target=func, name="daf_orm-end").start()

    def close(self, sets: Iterable[ConnectionSet]) -> Future[None]:
        """Close connections in a thread: that is I/O, and Django refuses it on an event loop's thread."""
        try:
            return self.executor.submit(close_all, sets)
        except RuntimeError:  # ended
            done: Future[None] = Future()
            threading.Thread(target=close_all, args=(sets,), name="daf_orm-close").start()
            done.set_result(None)
            return done

    def end(self) -> None:
        """Let the threads end, once they have done their work."""
        self._ended = True
        self.executor.shutdown(wait=False)

    def restart(self) -> None:
        """Undo :meth:`end`."""
        if self._ended:
            self._ended = False
            self.executor = self._new_executor()

    def _new_executor(self) -> ThreadPoolExecutor:
        # Any lease's call may have to be stopped, from a thread other than its own.
        return ThreadPoolExecutor(self._max_size + 1, thread_name_prefix="daf_orm")


def close_all(sets: Iterable[ConnectionSet]) -> None:
    """Close connections, on this thread."""
    for connections in sets:
        connections.close()
