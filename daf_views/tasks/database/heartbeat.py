"""A worker's heartbeat: a thread with a separate connection, so that nothing that a task does can stop it."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from daf_views.tasks.database.queue import TaskQueue

logger = logging.getLogger("daf_views")

BEATS = 3
"""Heartbeats that a worker may miss before it is considered lost."""


class Heartbeat:
    """Renews a worker's lease ``BEATS`` times in each lease.

    A worker declares others lost only after one full lease of successful heartbeats, because a database outage
    silences every worker at once. After an outage all leases have expired, and every worker gets time to renew its own.
    """

    def __init__(self, queue: TaskQueue, *, on_lost: Callable[[], None], on_steady: Callable[[], None]) -> None:
        self._queue = queue
        self._on_lost = on_lost
        """Called in the thread when others have taken the worker's tasks, because it missed its heartbeats."""
        self._on_steady = on_steady
        """Called in the thread at each beat of a worker that may declare others lost."""
        self._since = self._last = float("-inf")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="daf_worker-heartbeat", daemon=True)

    def start(self) -> None:
        """Start, right after the worker has registered."""
        self._since = self._last = time.monotonic()
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop, and wait until its connection is closed, for so many seconds at most. Idempotent."""
        self._stopped.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._queue.lease / BEATS):
                self._beat()
        finally:
            connections.close_all()

    def _beat(self) -> None:
        try:
            if not self._queue.beat():
                self._queue.register()
                self._on_lost()
        except Exception:  # the next may reach the database
            logger.exception("A heartbeat of %s has failed.", self._queue.worker_id)
            connections.close_all()
            return
        now = time.monotonic()
        if now - self._last > self._queue.lease:
            self._since = now
        self._last = now
        if now - self._since >= self._queue.lease:
            self._on_steady()
