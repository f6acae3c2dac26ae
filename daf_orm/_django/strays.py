"""Strays: connections that code opens in asyncio's own threads, outside any lease."""

from __future__ import annotations

import logging
import sys
import threading
import weakref
from concurrent.futures.thread import _WorkItem
from typing import TYPE_CHECKING

from django.db.transaction import TransactionManagementError

from daf_orm._core.call_site import CallSite, find_call_site
from daf_orm._django.hops import current_hop, on_event_loop, thread_state
from daf_orm._leases.scope import holds_block

if TYPE_CHECKING:
    from types import FrameType

    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("daf_orm")
_strays: weakref.WeakKeyDictionary[BaseDatabaseWrapper, CallSite] = weakref.WeakKeyDictionary()
_RUN_IN_EXECUTOR = _WorkItem.run.__code__


def refuse_stray(alias: str) -> None:
    """Raise TransactionManagementError for a query from to_thread() in an atomic block.

    Such a call has the block's context but not its lease: its rows would not be in the transaction.
    """
    block = None if thread_state.is_outside else holds_block()
    if block is None or on_event_loop() or not _was_sent_here():
        return
    message = (
        f"A query on {alias!r} from to_thread() or run_in_executor(), inside the atomic block at {block.origin}: it "
        "would run outside the transaction. Use daf_orm.database_sync_to_async() instead."
    )
    raise TransactionManagementError(message)


def _was_sent_here() -> bool:
    """Return True if an executor runs this code. A thread may also have inherited the context of its creator."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is _RUN_IN_EXECUTOR:
            return True
        frame = frame.f_back
    return False


def report_stray(wrapper: BaseDatabaseWrapper) -> None:
    """Log a connection that a thread of asyncio's default executor opens, since nothing will close it."""
    is_outside = thread_state.is_outside  # the pool inspects the wrapper, and does not connect
    if current_hop() is None and not is_outside and threading.current_thread().name.startswith("asyncio_"):
        _strays[wrapper] = origin = find_call_site()
        logger.warning(
            "Connection %r is opened in thread %s at %s, outside any lease: nothing will close it. "
            "Replace to_thread() or run_in_executor() by daf_orm.database_sync_to_async().",
            wrapper.alias,
            threading.current_thread().name,
            origin,
        )


def stray_connections() -> list[tuple[BaseDatabaseWrapper, CallSite]]:
    """Return the connections that to_thread() has left open, each with the place that opened it."""
    return [(wrapper, origin) for wrapper, origin in _strays.items() if wrapper.connection is not None]
