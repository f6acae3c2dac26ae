"""A worker's heartbeat: a thread with a connection of its own, so that nothing which a task does can stop it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from django.db import Error, connections

if TYPE_CHECKING:
    from collections.abc import Callable

    from daf_views.tasks.database.ledger import Ledger

logger = logging.getLogger("daf_views")

BEATS = 3
"""Heartbeats that a worker may miss before it is taken for dead."""


class Heartbeat:
    """Says ``BEATS`` times in a lease that a worker lives, and has run again what the dead have left."""

    def __init__(self, ledger: Ledger, on_lost: Callable[[], None]) -> None:
        self._ledger = ledger
        self._on_lost = on_lost
        """Called in the thread when others have taken the worker's tasks, because it was quiet for too long."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="daf_worker-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait until its connection is closed."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._ledger.lease / BEATS):
                self._beat()
        finally:
            connections.close_all()

    def _beat(self) -> None:
        try:
            if not self._ledger.beat():
                self._ledger.register()
                self._on_lost()
            self._ledger.recover()
        except Error:  # the next may reach the database
            logger.exception("A heartbeat of %s has failed.", self._ledger.worker_id)
            connections.close_all()
