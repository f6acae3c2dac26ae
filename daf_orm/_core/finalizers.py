"""A thread for work that finalizers leave behind.

The garbage collector ends a dropped coroutine at any moment and in any thread, perhaps in one that holds the very lock
that cleaning up needs. So a finalizer takes no lock and does no I/O. It puts its work here, which is safe (see
:meth:`queue.SimpleQueue.put`), and DAF's thread does it.
"""

import logging
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger("daf_orm")

_work: SimpleQueue[Callable[[], object]] = SimpleQueue()
_starting = threading.Lock()
_runs = False


def start() -> None:
    """Start the thread. Idempotent; to be called before anything is left to a finalizer."""
    global _runs  # noqa: PLW0603 - one thread per process
    if _runs:
        return
    with _starting:
        if not _runs:
            _runs = True
            threading.Thread(target=_run_deferred, name="daf_orm-finalizers", daemon=True).start()


def defer(work: Callable[[], object]) -> None:
    """Do ``work`` soon, in the thread. May be called by a finalizer. Long work must be submitted to an executor."""
    _work.put(work)


def flush(timeout: float = 1.0) -> None:
    """Wait up to ``timeout`` seconds until all work deferred so far is done."""
    done = threading.Event()
    defer(done.set)
    done.wait(timeout)


def _run_deferred() -> None:
    while True:
        work = _work.get()
        try:
            work()
        except Exception:
            logger.exception("Cleaning up after a dropped task failed.")
        del work


def _after_fork() -> None:
    global _work, _starting, _runs
    _work, _starting, _runs = SimpleQueue(), threading.Lock(), False  # a fork has the queue, but not the thread


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
