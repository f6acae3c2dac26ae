"""Log from the event loop without blocking it: a log handler may write to a disk or a socket."""

import logging
import traceback

from asgiref.sync import sync_to_async
from django.db import DatabaseError

logger = logging.getLogger("daf_views")

_UNDEFINED_TABLE = "42P01"
_NO_TABLE = ("no such table", "doesn't exist")  # of SQLite, and of MySQL


async def log(level: int, message: str, *args: object, error: BaseException | None = None) -> None:
    """Log on a worker thread, and wait until it is done. A log handler's own failure is printed, never raised."""
    try:
        await sync_to_async(logger.log, thread_sensitive=False)(level, message, *args, exc_info=error)
    except Exception:  # noqa: BLE001 - as logging itself does
        traceback.print_exc()


async def log_error(message: str, *args: object, error: BaseException | None = None) -> None:
    """Log an error, with the remedy if a table is missing; see :func:`log`."""
    if _lacks_table(error):
        message = f"{message.removesuffix('.')}. Has `manage.py migrate` been run?"
    await log(logging.ERROR, message, *args, error=error)


def _lacks_table(error: BaseException | None) -> bool:
    if not isinstance(error, DatabaseError):
        return False
    is_undefined = getattr(error.__cause__, "sqlstate", None) == _UNDEFINED_TABLE  # a server translates its messages
    return is_undefined or any(text in str(error) for text in _NO_TABLE)
