"""Stop a statement that a worker thread is running, from another thread.

PostgreSQL takes a request to cancel, MariaDB and MySQL a KILL QUERY, SQLite can be interrupted. Statements of any other
database run to their end. A request does nothing between two statements, so it is repeated until the call has
ended. The end of the call waits for a request under way, which would otherwise hit the connection's next user.

The end of a transaction or of a server-side cursor must not be stopped, but it has a time limit. A server that does not
answer is cut off, which rolls back. A COMMIT alone has no limit, until the process ends
(``ConnectionPool.cut_off_commits()``).
"""

import asyncio
import contextlib
import logging
import os
import socket
import threading
from typing import Any, Self

from django.db.backends.base.base import BaseDatabaseWrapper

from daf_orm._core.bridge import current_bridge
from daf_orm.databases import database_of
from daf_orm.databases.base import CANCEL_TIMEOUT

logger = logging.getLogger("daf_orm")
commits = threading.Lock()
"""Held while a COMMIT is cut off, and when one ends, so that none is cut off after its end."""


def stop_statement(wrapper: BaseDatabaseWrapper) -> bool:
    """Stop the statement that this connection executes. False if the request did not get through."""
    try:
        database_of(wrapper).stop(wrapper)
    except Exception:
        logger.debug("A statement on %r could not be cancelled.", wrapper.alias, exc_info=True)
        return False
    return True


async def stop_statement_on_loop(wrapper: BaseDatabaseWrapper) -> bool:
    """Stop the statement of a connection that can wait on the event loop. False if the request did not get through."""
    connection: Any = wrapper.connection
    try:
        await connection.cancel_on_loop(CANCEL_TIMEOUT)
    except Exception:
        logger.debug("A statement on %r could not be cancelled.", wrapper.alias, exc_info=True)
        return False
    return True


def cut_off(wrapper: BaseDatabaseWrapper) -> None:
    """Shut down the connection's socket, so that a thread that waits for a silent server gets an error."""
    if (descriptor := socket_of(wrapper)) < 0:
        return
    logger.warning("The server of %r does not answer; its connection is cut.", wrapper.alias)
    with contextlib.suppress(OSError), socket.socket(fileno=socket.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def socket_of(wrapper: BaseDatabaseWrapper) -> int:
    """Return the descriptor of the connection's socket; -1 if there is none."""
    if wrapper.connection is None:
        return -1
    try:
        return database_of(wrapper).socket_of(wrapper.connection)
    except Exception:  # noqa: BLE001 - drivers raise for a connection that is already closed
        return -1


class CutOffIfSilent:
    """A context manager around a round trip that cannot be stopped: after ``CANCEL_TIMEOUT`` seconds it is cut off."""

    def __init__(self, wrapper: BaseDatabaseWrapper) -> None:
        self._wrapper = wrapper
        self._lock = threading.Lock()  # held while cutting, so that it cannot hit the connection's next user
        self._answered = False
        self._timer: threading.Timer | asyncio.TimerHandle

    def __enter__(self) -> Self:
        if (bridge := current_bridge()) is not None and not bridge.is_cut:
            self._timer = bridge.loop.call_later(CANCEL_TIMEOUT, self._strike)
            return self
        # A new thread, since every other one may be waiting for this server. Rollbacks are rare.
        self._timer = threading.Timer(CANCEL_TIMEOUT, self._strike)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._answered = True
        self._timer.cancel()

    def _strike(self) -> None:
        with self._lock:
            if not self._answered:
                cut_off(self._wrapper)


def cut_off_if_silent(wrapper: BaseDatabaseWrapper) -> contextlib.AbstractContextManager[object]:
    """Return a :class:`CutOffIfSilent` for a connection that can be cut off; else one that does nothing."""
    return CutOffIfSilent(wrapper) if socket_of(wrapper) >= 0 else contextlib.nullcontext()


def _after_fork() -> None:
    global commits  # noqa: PLW0603 - a thread of the parent process may have held it
    commits = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
