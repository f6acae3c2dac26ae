"""The routes of a call: a worker thread, the thread of a synchronous parent, or the event loop itself."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any, TypeVar

from daf_orm._execution.routes.thread import ThreadCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from daf_orm._core.bridge import Bridge
    from daf_orm._execution.call import Call, Ending
    from daf_orm._leases.lease import Lease

T = TypeVar("T")


def call_on(  # noqa: PLR0913 - function, place, task, and ending
    lease: Lease,
    func: Callable[[bool], T],
    ending: Ending,
    *,
    final: bool = False,
    on_parent: bool = False,
    in_thread: bool = False,
    within: Bridge | None = None,
    subject: object = None,
) -> Call[T]:
    """Return a call by the route that its lease has.

    ``in_thread``: on a worker thread also where the connections could wait on the event loop. ``within`` is the call
    that waits for this one and has the lease's turn.
    """
    owner = lease.owner
    if not lease.runs_on_loop or in_thread or on_parent or (owner is not None and owner.executor is not None):
        return ThreadCall(lease, func, ending, final=final, on_parent=on_parent, subject=subject)
    call: Call[T] = _native_call()(lease, func, ending, final, within)
    return call


@functools.cache
def _native_call() -> Any:
    """Return the class of calls on the event loop. Only it needs greenlet."""
    return importlib.import_module(f"{__name__}.native").NativeCall
