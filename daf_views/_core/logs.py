"""Log from the event loop without blocking it: a log handler may write to a disk or a socket."""

import logging
import traceback

from asgiref.sync import sync_to_async

logger = logging.getLogger("daf_views")


async def log(level: int, message: str, *args: object, error: BaseException | None = None) -> None:
    """Log on a worker thread, and wait until it is done. A log handler's own failure is printed, never raised."""
    try:
        await sync_to_async(logger.log, thread_sensitive=False)(level, message, *args, exc_info=error)
    except Exception:  # noqa: BLE001 - as logging itself does
        traceback.print_exc()


async def log_error(message: str, *args: object, error: BaseException | None = None) -> None:
    """Log an error; see :func:`log`."""
    await log(logging.ERROR, message, *args, error=error)
