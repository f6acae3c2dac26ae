"""The state of every connection when its lease ends: no statement running, in autocommit, outside any transaction.

Everything here does I/O and runs on a worker thread, in the hop that ends the lease.
"""

import logging
import select

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from daf_orm.databases import database_of
from daf_orm.databases.cancellation import cut_off_if_silent, socket_of

logger = logging.getLogger("daf_orm")

_POLLIN = getattr(select, "POLLIN", 0)


def clean(wrapper: BaseDatabaseWrapper, *, origin: object, keeps_session: bool = False) -> bool:
    """Bring a connection back to its clean state; close it if that is not certain.

    ``keeps_session``: its owner has set something there, which ending a transaction does not undo.
    Return False if something was wrong with it. ``origin`` names the borrower in the report. Never raises.
    """
    if wrapper.connection is None:
        return _forget_transaction(wrapper)
    if database_of(wrapper).is_closed(wrapper):  # by the server, in the middle of something
        close(wrapper)
        return False
    try:
        healthy = _end_transaction(wrapper, origin)
        is_fit = (healthy or (keeps_session and not is_in_transaction(wrapper))) and _is_pristine(wrapper)
    except Exception:
        logger.warning("Connection %r could not be cleaned and is closed.", wrapper.alias, exc_info=True)
        healthy = is_fit = False
    if not is_fit:
        close(wrapper)
    return healthy and is_fit


def close(wrapper: BaseDatabaseWrapper) -> None:
    """Close a connection in any state. Never raises. SQLite keeps the connection of a memory database."""
    _forget_transaction(wrapper)
    try:
        wrapper.close()
    except Exception:
        logger.warning("Closing connection %r failed.", wrapper.alias, exc_info=True)
        wrapper.connection = None


def close_permanently(wrapper: BaseDatabaseWrapper) -> None:
    """Close a connection that will not be used again, also one of a memory database. Never raises."""
    close(wrapper)
    if wrapper.connection is not None:
        BaseDatabaseWrapper.close(wrapper)


def has_died(wrapper: BaseDatabaseWrapper) -> bool:
    """Return True if the server hung up on an idle connection. Without a round trip, unless its socket is readable."""
    if wrapper.connection is None:
        return False
    if database_of(wrapper).is_closed(wrapper):
        return True
    socket = socket_of(wrapper)
    if socket < 0 or not _is_readable(socket):
        return False
    # Something arrived on an idle connection: the end, or a harmless notice. Only a round trip shows which.
    return not wrapper.is_usable()


def leave_blocks(wrapper: BaseDatabaseWrapper, depth: int) -> bool:
    """Roll back the synchronous atomic blocks opened above ``depth``. False if there were any."""
    left_open = wrapper.atomic_blocks[depth:]
    if left_open:
        with cut_off_if_silent(wrapper):
            for block in reversed(left_open):
                block.__exit__(DatabaseError, DatabaseError("The lease ended inside this block."), None)
    return not left_open


def _end_transaction(wrapper: BaseDatabaseWrapper, origin: object) -> bool:
    is_open = _in_transaction(wrapper) if leave_blocks(wrapper, 0) else True
    if is_open is None:  # unknown: roll back to be sure
        with cut_off_if_silent(wrapper):
            wrapper.rollback()
    if not is_open:
        return True
    logger.error(
        "A transaction was left open on connection %r by %s; it was rolled back. "
        "End it where it began, preferably with daf_orm.transaction.atomic().",
        wrapper.alias,
        origin,
    )
    if wrapper.connection is not None:
        with cut_off_if_silent(wrapper):
            database_of(wrapper).roll_back(wrapper)
    return False


def is_in_transaction(wrapper: BaseDatabaseWrapper) -> bool:
    """Return True if code has begun a transaction and not ended it, by Django's means or by SQL."""
    return wrapper.in_atomic_block or (
        wrapper.connection is not None
        and (wrapper.autocommit != wrapper.settings_dict["AUTOCOMMIT"] or bool(_in_transaction(wrapper)))
    )


def _in_transaction(wrapper: BaseDatabaseWrapper) -> bool | None:
    """Return True if a transaction is open; None if that cannot be known."""
    database = database_of(wrapper)
    if wrapper.connection is None:
        return False
    if (known := database.in_transaction(wrapper)) is not None:
        return known
    with cut_off_if_silent(wrapper):
        return database.ask_transaction(wrapper)


def _is_pristine(wrapper: BaseDatabaseWrapper) -> bool:
    if wrapper.get_autocommit() != wrapper.settings_dict["AUTOCOMMIT"]:
        return False
    if database_of(wrapper).has_other_isolation(wrapper):
        return False
    if wrapper.errors_occurred:
        wrapper.errors_occurred = False
        with cut_off_if_silent(wrapper):
            return bool(wrapper.is_usable())
    return True


def _forget_transaction(wrapper: BaseDatabaseWrapper) -> bool:
    """Reset Django's record of a transaction that its server no longer has. True if there was none."""
    nothing = not wrapper.in_atomic_block
    wrapper.in_atomic_block = False
    wrapper.needs_rollback = False
    wrapper.closed_in_transaction = False
    wrapper.commit_on_exit = True
    wrapper.savepoint_ids.clear()
    wrapper.atomic_blocks.clear()
    wrapper.run_on_commit = []
    return nothing


def _is_readable(socket: int) -> bool:
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(socket, _POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([socket], [], [], 0)[0])  # Windows
