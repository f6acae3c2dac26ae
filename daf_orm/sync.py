"""Make synchronous code that uses the ORM awaitable, by the rules of :mod:`daf_orm._execution.run`."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from asgiref.sync import iscoroutinefunction

from daf_orm import _execution
from daf_orm._core.bridge import current_bridge

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

P = ParamSpec("P")
T = TypeVar("T")


def database_sync_to_async(func: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a synchronous function that uses the ORM awaitable: one thread hop, one lease, cleaned afterwards.

    A decorator, or a call: ``await database_sync_to_async(reindex)(book_id)``. Raises TypeError if ``func`` is async.
    The function should return evaluated results: a queryset it returns would query later, elsewhere.
    """
    if iscoroutinefunction(func) or iscoroutinefunction(getattr(func, "__call__", func)):  # noqa: B004 - objects too
        raise TypeError(
            f"database_sync_to_async() takes a synchronous function, not {func!r}. Await that one directly."
        )

    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        return await _execution.run(functools.partial(func, *args, **kwargs), in_thread=True)

    functools.update_wrapper(wrapper, func)
    return wrapper


def query_to_async(func: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a function of Django that only queries awaitable: it needs no thread where its lease needs none.

    User code that it calls, such as receivers and ``save()``, can be marked by :func:`runs_in_thread`. Django makes it
    anew for each call.
    """
    return functools.partial(_query, func)


async def _query(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    return await _execution.run(functools.partial(func, *args, **kwargs))


def runs_in_thread(func: Callable[P, T]) -> Callable[P, T]:
    """Let a synchronous function run in a worker thread where the ORM would call it on the event loop.

    With ``ENGINE = "daf_orm.backends.postgresql"`` receivers of signals, ``save()`` and ``__init__()`` of models run on
    the event loop. Decorate those that block it otherwise than by a query, that compute for long, or that hold a
    ``threading`` lock across queries. The function runs on the same connection, in the same transaction. With other
    engines the decorator changes nothing.
    """

    @functools.wraps(func)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        if (bridge := current_bridge()) is None:
            return func(*args, **kwargs)
        call = functools.partial(func, *args, **kwargs)
        return cast("T", bridge.run_within(_execution.run(call, in_thread=True)))

    return wrapper


@overload
def await_safe(func: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
@overload  # not of any Awaitable: mypy would find calls with a coroutine function ambiguous
def await_safe(func: Callable[P, asyncio.Future[T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
@overload
def await_safe(func: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]: ...


def await_safe(func: Callable[P, Any]) -> Callable[P, Coroutine[Any, Any, Any]]:
    """Make any callable awaitable, synchronous or async.

    ``await await_safe(Book.objects.get)(pk=1)``. A synchronous callable runs as with :func:`database_sync_to_async`; an
    async one is awaited directly. Raises TypeError if ``func`` is not callable.
    """
    if not callable(func):
        raise TypeError(f"await_safe() takes the callable itself, not {type(func).__name__}: await_safe(func)(…).")

    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        if iscoroutinefunction(func):
            return await func(*args, **kwargs)
        result = await _execution.run(functools.partial(func, *args, **kwargs), in_thread=True)
        # A manager's a… methods are plain functions that return a coroutine.
        return await result if inspect.isawaitable(result) else result

    functools.update_wrapper(wrapper, func)
    return wrapper
