"""Start and stop with the server: hooks of the application, then the drain, then the pool's end.

Source: the ASGI lifespan specification. Servers send ``lifespan.shutdown`` when the last connection has closed. An
endless stream would keep that from ever happening. So the drain begins earlier, at SIGTERM or SIGINT, if the event
loop is the main thread's: streams end, readiness fails, and requests in flight are cancelled after ``DRAIN_TIMEOUT``.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import threading
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from daf_orm import database_sync_to_async, get_pool
from daf_orm.owners import return_connection
from daf_views._core.drain import current_drain
from daf_views.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from daf_views._core.drain import Drain
    from daf_views.asgi.limiter import InFlightLimiter

    Hook = Callable[[], Any]

logger = logging.getLogger("daf_views")

_CANCELLED_LATE = (
    "%d requests were cancelled: they had not ended %s s after the server began to stop. Raise "
    "DAF_VIEWS['DRAIN_TIMEOUT'], or shorten them."
)
COMMIT_INTERVAL = 1.0
"""Seconds between two checks for an unanswered COMMIT, once the drain's time is over."""
_starting: list[Hook] = []
_stopping: list[Hook] = []
_running = 0
"""Lifespans that have started and not stopped, of all event loops: the last one closes the pool."""
_lock = threading.Lock()


def on_startup(hook: Hook) -> Hook:
    """Call ``hook()`` when the server starts. A decorator.

    It may be a function, sync or async, or return a context manager, sync or async, which is then entered and left
    again when the server stops. A server whose hook raises does not start. Raises RuntimeError when a server has
    started already: a module that the URLconf imports is too late, ``AppConfig.ready()`` is in time.
    """
    _refuse_if_running(hook)
    _starting.append(hook)
    return hook


def on_shutdown(hook: Hook) -> Hook:
    """Call ``hook()``, sync or async, when the server stops and the last request has been answered. A decorator.

    Hooks are called in reverse order, and before the context managers of :func:`on_startup` are left.
    """
    _refuse_if_running(hook)
    _stopping.append(hook)
    return hook


def _refuse_if_running(hook: Hook) -> None:
    if _running:
        name = getattr(hook, "__qualname__", repr(hook))
        raise RuntimeError(
            f"{name} is registered after the server has started, and would never run: register it in "
            "AppConfig.ready(), or name it in DAF_VIEWS['LIFESPAN']."
        )


async def run(
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
    in_flight: InFlightLimiter,
) -> None:
    """Speak the lifespan protocol with the server until it stops."""
    await receive()
    stage = "startup"
    try:
        async with AsyncExitStack() as stack:
            await _start(stack)
            await send({"type": "lifespan.startup.complete"})
            stage = "shutdown"
            await _serve(receive, in_flight)
    except Exception as error:
        logger.exception("The application's %s failed.", stage)
        await send({"type": f"lifespan.{stage}.failed", "message": f"The application's {stage} failed: {error!r}"})
    else:
        await send({"type": "lifespan.shutdown.complete"})


async def _serve(receive: Callable[[], Awaitable[Mapping[str, Any]]], in_flight: InFlightLimiter) -> None:
    """Wait for the shutdown of the server; let requests end first."""
    drain = current_drain()
    shutdown = asyncio.ensure_future(receive())
    begun = asyncio.ensure_future(drain.wait())
    ending = None
    try:
        with _signals_begin(drain):
            await asyncio.wait([shutdown, begun], return_when=asyncio.FIRST_COMPLETED)
            drain.request()
            ending = asyncio.ensure_future(_cut_off_commits(get_settings().DRAIN_TIMEOUT))
            if late := await in_flight.drain(get_settings().DRAIN_TIMEOUT):
                logger.error(_CANCELLED_LATE, late, get_settings().DRAIN_TIMEOUT)
            await drain.settle(get_settings().DRAIN_TIMEOUT)
            await shutdown
    finally:
        for waiting in (shutdown, begun, ending):
            if waiting is not None:
                waiting.cancel()


async def _cut_off_commits(timeout: float) -> None:
    """After ``timeout`` seconds, give up on an unanswered COMMIT, so that the server can end."""
    await asyncio.sleep(timeout)
    while True:
        get_pool().cut_off_commits()
        await asyncio.sleep(COMMIT_INTERVAL)


async def _start(stack: AsyncExitStack) -> None:
    _open_pool()
    stack.push_async_callback(_close_pool)
    hooks = [*_starting, *map(import_string, get_settings().LIFESPAN)]
    for hook in hooks:
        await _enter(hook, stack)
        await return_connection()  # that the hook has set something on: the server's task lives as long as the server
    for hook in _stopping:
        stack.push_async_callback(_call, hook)


async def _enter(hook: Hook, stack: AsyncExitStack) -> None:
    result = await _call(hook)
    if hasattr(result, "__aenter__"):
        await stack.enter_async_context(result)
    elif hasattr(result, "__enter__"):
        await database_sync_to_async(result.__enter__)()
        stack.push_async_exit(database_sync_to_async(result.__exit__))


async def _call(hook: Hook) -> Any:
    """Call a hook and return its result; a sync one in a thread, because it may block."""
    if inspect.iscoroutinefunction(hook):
        return await hook()
    result = await database_sync_to_async(hook)()
    return await result if inspect.isawaitable(result) else result


def _open_pool() -> None:
    global _running  # noqa: PLW0603 - as there is one pool per process
    get_pool().open()
    with _lock:
        _running += 1


async def _close_pool() -> None:
    global _running  # noqa: PLW0603
    with _lock:
        _running -= 1
        is_last = _running == 0
    if is_last:
        await get_pool().aclose()


@contextmanager
def _signals_begin(drain: Drain) -> Iterator[None]:
    """Begin the drain at SIGTERM or SIGINT, and then call the handlers of the signal as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {
        number: handler
        for number in (signal.SIGTERM, signal.SIGINT)
        if (handler := signal.getsignal(number)) is not None  # one that is not Python code, and could not be called
    }

    def handle(number: int, frame: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(drain.request)
        handler = before[number]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, handler)
