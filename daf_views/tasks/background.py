"""``run_in_background``: a coroutine that outlives its caller, and is neither lost nor cut off silently."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from asgiref.sync import iscoroutinefunction

from daf_orm.metrics import Computed
from daf_views._core.cancellation import is_cancelled
from daf_views._core.drain import current_drain
from daf_views.exceptions import ShuttingDownError
from daf_views.tasks.event_loop import call_on, loop_for
from daf_views.tasks.notifier import log_soon

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")

_running: dict[asyncio.AbstractEventLoop, set[asyncio.Task[Any]]] = {}
Computed(
    "daf_background_running",
    "Coroutines that run_in_background() has started, and that have not ended.",
    kind="gauge",
    unit="coroutines",
    read=lambda: sum(map(len, list(_running.values()))),
)


def run_in_background(func: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call a coroutine function without waiting for it: its return value is dropped, its exception is logged.

    It runs on the running event loop, or, from synchronous code, on that which called it. Its context is a new one,
    outside the caller's transaction. The drain waits for it. Raises TypeError for what is not a coroutine function,
    ShuttingDownError when the requests in flight have ended at a server's stop, NoEventLoopError if nothing runs.
    """
    name = _name_of(func)
    if not iscoroutinefunction(func):
        raise TypeError(
            f"run_in_background() takes a coroutine function and its arguments, not {name}: pass the function, do not "
            "call it; wrap a synchronous one in database_sync_to_async()."
        )
    loop = loop_for(name)
    start = functools.partial(_start, loop, name, functools.partial(func, *args, **kwargs))
    call_on(loop, start, name)


async def join() -> None:
    """Wait until all background work of this event loop has ended, and all work that it has started: for tests."""
    while tasks := _running.get(asyncio.get_running_loop()):
        await asyncio.wait(tuple(tasks))


def _name_of(func: Any) -> str:
    """Return a function's name, without its arguments."""
    while isinstance(func, functools.partial):
        func = func.func
    return str(getattr(func, "__qualname__", type(func).__qualname__))


def _start(loop: asyncio.AbstractEventLoop, name: str, func: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    drain = current_drain()
    if drain.is_over:
        raise ShuttingDownError(f"{name} was not started: the server has stopped.")
    task = loop.create_task(_run(name, func), context=contextvars.Context())
    task.set_name(f"background {name}")
    for closed in [each for each in _running if each.is_closed()]:
        del _running[closed]
    tasks = _running.setdefault(loop, set())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    drain.keep(task)


async def _run(name: str, func: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    try:
        await func()
    except GeneratorExit:
        raise
    except asyncio.CancelledError as error:
        if not is_cancelled():
            log_soon(logging.ERROR, "%s failed in the background.", name, error=error)
            return
        log_soon(logging.ERROR, "%s, in the background, was cancelled because the server stops.", name)
        raise
    except BaseException as error:  # noqa: BLE001 - it is awaited nowhere: logged, SystemExit and KeyboardInterrupt too
        log_soon(logging.ERROR, "%s failed in the background.", name, error=error)
