"""Call the callbacks that ``on_commit()`` has registered in async code."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction

from daf_orm._execution.run import run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from daf_orm._leases.scope import CommitHook

logger = logging.getLogger("daf_orm")


async def run_hooks(hooks: list[CommitHook]) -> None:
    """Call the callbacks in order; synchronous ones in a thread. A robust one's error is logged, any other raised."""
    for hook in hooks:
        try:
            if iscoroutinefunction(hook.func):
                result: Any = hook.func()
            else:
                result = await run(hook.func, in_thread=True)
            if inspect.isawaitable(result):
                await result
        except Exception:
            if not hook.robust:
                raise
            logger.exception("Error calling %r after the commit.", hook.func)


async def complete(work: Coroutine[Any, Any, None], cancelled: asyncio.CancelledError | None) -> None:
    """Run ``work`` to its end, also if this task is, or has been, cancelled; CancelledError is raised afterwards."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:  # noqa: BLE001 - raised below, by result()
            break
    if cancelled is None or task.cancelled():
        return task.result()
    if (failure := task.exception()) is not None:
        logger.error("A callback failed after the commit of a cancelled task.", exc_info=failure)
    raise cancelled


def log_failure(func: object, outcome: Future[None]) -> None:
    """Log the error of a callback that ran without a transaction, if it has raised one."""
    if (failure := outcome.exception()) is not None:
        logger.error("Error calling %r, registered outside a transaction.", func, exc_info=failure)


def as_sync(func: Callable[[], object]) -> Callable[[], object]:
    """Return a synchronous function that calls ``func``. It has a name, which Django logs with an error."""
    call: Callable[[], object] = async_to_sync(func) if iscoroutinefunction(func) else func
    if hasattr(call, "__qualname__"):
        return call

    def callback() -> object:
        return call()

    callback.__qualname__ = getattr(func, "__qualname__", repr(func))
    return callback


_started: set[asyncio.Task[None]] = set()  # the event loop itself keeps weak references only


def start(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a new task, which is kept until it ends."""
    task = asyncio.get_running_loop().create_task(work)
    _started.add(task)
    task.add_done_callback(_started.discard)
