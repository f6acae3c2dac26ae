"""Stop a statement that a worker thread is running, from another thread.

psycopg has ``cancel_safe()``, sqlite3 has ``interrupt()``; a driver with neither is waited for. Neither call can miss
its target by design alone: it does nothing between two statements, so it is repeated until the call has ended, and
whoever ends the call waits for a cancellation under way, lest it strike the connection's next user.
"""

import contextlib
import logging
import socket
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("daf_orm")

CANCEL_TIMEOUT = 5.0
"""Seconds a server is given to take a cancellation, and afterwards to act on it, before its socket is shut."""


def stop_statement(wrapper: BaseDatabaseWrapper) -> bool:
    """Ask the driver to stop what this connection is executing. False if the request did not get through."""
    connection: Any = wrapper.connection
    try:
        if (cancel_safe := getattr(connection, "cancel_safe", None)) is not None:
            cancel_safe(timeout=CANCEL_TIMEOUT)
        elif (interrupt := getattr(connection, "interrupt", None)) is not None:
            interrupt()
    except Exception:
        logger.debug("A statement on %r could not be cancelled.", wrapper.alias, exc_info=True)
        return False
    return True


def cut_off(wrapper: BaseDatabaseWrapper) -> None:
    """Shut the connection's socket, so that a thread which waits for a silent server gets an error instead."""
    descriptor = getattr(getattr(wrapper.connection, "pgconn", None), "socket", -1)
    if descriptor < 0:
        return
    logger.warning("The server of %r does not answer a cancellation; its connection is cut.", wrapper.alias)
    with contextlib.suppress(OSError), socket.socket(fileno=socket.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)
