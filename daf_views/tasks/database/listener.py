"""Listen for due tasks, if the database can notify; otherwise, and meanwhile, a worker polls."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from django.db import InterfaceError, NotSupportedError

from daf_orm.notifications import notifications
from daf_views.tasks.database.announcements import CHANNEL, is_announced, queue_in
from daf_views.tasks.database.rows import database
from daf_views.tasks.notifier import log_soon

if TYPE_CHECKING:
    from collections.abc import Callable

    from daf_views.tasks.database.queue import Queues

SPAN = 0.02
"""Seconds in which all announcements together make a worker look for tasks once, at most."""
_MIN_PAUSE, _MAX_PAUSE = 0.1, 30.0
"""Seconds between two attempts at listening."""
_STEADY = 60.0
"""Seconds after which a connection that is lost was not lost at once, so the pauses begin anew."""


class TaskListener:
    """Calls a function when tasks of some queues are announced, and when announcements may have been missed.

    However many are announced, it is called at once, and then once in :data:`SPAN` at most.
    """

    def __init__(self, queues: Queues, on_due: Callable[[], None]) -> None:
        self._queues = queues
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._called_at = float("-inf")
        self._calling: asyncio.TimerHandle | None = None
        self._pause = _MIN_PAUSE

    async def run(self) -> None:
        """Listen until cancelled. Return where there is nothing to listen to."""
        using = database()
        if not is_announced(self._queues.backend, using):
            return
        try:
            while await self._listen(using):
                await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - keeps no secret
                self._pause = min(self._pause * 2, _MAX_PAUSE)
        finally:
            if self._calling is not None:
                self._calling.cancel()

    async def _listen(self, using: str) -> bool:
        """Listen until the connection is lost. Return False if there can be none."""
        began = self._loop.time()
        try:
            async with notifications(CHANNEL, using=using) as arriving:
                log_soon(logging.DEBUG, "The worker listens for tasks on %r.", using)
                self._call_soon()  # tasks may have been announced before
                async for notification in arriving:
                    if self._is_ours(notification.payload):
                        self._call_soon()
        except (InterfaceError, NotSupportedError) as error:  # a proxy in transaction mode; psycopg 2
            log_soon(logging.INFO, "The worker polls for tasks, since it cannot listen: %s", error)
            return False
        except Exception as error:  # noqa: BLE001 - the next time may go better; logged
            if self._loop.time() - began > _STEADY:
                self._pause = _MIN_PAUSE
            level = logging.WARNING if self._pause == _MIN_PAUSE else logging.DEBUG
            log_soon(level, "The worker cannot listen for tasks. It polls, and will try to listen again.", error=error)
        return True

    def _is_ours(self, payload: str) -> bool:
        backend, name = queue_in(payload)
        return backend == self._queues.backend and self._queues.has(name)

    def _call_soon(self) -> None:
        if self._calling is None:
            due_at = self._called_at + SPAN
            if self._loop.time() >= due_at:
                self._call()
            else:
                self._calling = self._loop.call_at(due_at, self._call)

    def _call(self) -> None:
        self._calling, self._called_at = None, self._loop.time()
        self._on_due()
