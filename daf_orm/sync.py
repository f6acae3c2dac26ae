"""Make synchronous code that uses the ORM awaitable, by the rules of :mod:`daf_orm._execution.run`."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from asgiref.sync import iscoroutinefunction

from daf_orm import _execution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

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
        return await _execution.run(functools.partial(func, *args, **kwargs))

    functools.update_wrapper(wrapper, func)
    return wrapper


def await_safe(func: Callable[P, T | Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make any callable awaitable, be it synchronous or not.

    ``await await_safe(Book.objects.get)(pk=1)``. A synchronous one runs as with :func:`database_sync_to_async`; what is
    already async is awaited as it is. Raises TypeError if ``func`` is not callable.
    """
    if not callable(func):
        raise TypeError(f"await_safe() takes the callable itself, not {type(func).__name__}: await_safe(func)(…).")

    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        if iscoroutinefunction(func):
            return await cast("Awaitable[T]", func(*args, **kwargs))
        result = await _execution.run(functools.partial(func, *args, **kwargs))
        # A manager's a… methods are plain functions that return a coroutine.
        return await result if inspect.isawaitable(result) else result

    functools.update_wrapper(wrapper, func)
    return wrapper
