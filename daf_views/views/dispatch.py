"""``dispatch()`` of mixins and decorators: synchronous as Django's are, around a view that is not.

A synchronous ``dispatch`` runs on a worker thread. The coroutine that it returns is awaited on the event loop.
Decorators look whether a view is async; for them the class has a coroutine function in its place.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction

from daf_orm import database_sync_to_async

if TYPE_CHECKING:
    from collections.abc import Callable

_MADE = "_made_dispatch"  # on a class: the stand-in for dispatch(), and the class's own, or None


def make_async(cls: Any) -> None:
    """Make ``cls.dispatch`` a coroutine function that follows the MRO at the time of a request.

    An inherited ``dispatch`` is never made the class's own: in a subclass, another may come between.
    """
    if "dispatch" in vars(cls):
        own = vars(cls)["dispatch"]
        if not iscoroutinefunction(own):
            _give(cls, _off_the_loop(own), own)
        return
    # The nearest one that is written out: attributes that decorators have set on it are the view's.
    nearest = next(klass for klass in cls.__mro__ if "dispatch" in vars(klass) and not _is_stand_in(klass))
    if cls.dispatch is not vars(nearest)["dispatch"] or not iscoroutinefunction(cls.dispatch):
        _give(cls, _stand_in(cls, vars(nearest)["dispatch"]), None)


def is_decorated(cls: type) -> bool:
    """Return True if a decorator, which may look at the request's body, is around a ``dispatch``."""
    return any(hasattr(_declared_dispatch(klass), "__wrapped__") for klass in cls.__mro__)


def call(dispatch: Any, *args: Any, **kwargs: Any) -> Any:
    """Call it where it may run, and return what is to be awaited."""
    if iscoroutinefunction(dispatch):
        return dispatch(*args, **kwargs)
    return _in_a_hop(functools.partial(dispatch, *args, **kwargs))


async def settled(result: Any) -> Any:
    """Await until the result is no coroutine: a synchronous wrapper of async code returns one."""
    while inspect.isawaitable(result):
        result = await result
    return result


def _give(cls: Any, made: Any, own: Any) -> None:
    cls.dispatch = made
    setattr(cls, _MADE, (made, own))


def _is_stand_in(klass: type) -> bool:
    made, own = vars(klass).get(_MADE, (None, None))
    return made is vars(klass)["dispatch"] and own is None


def _declared_dispatch(klass: type) -> Any:
    """Return the ``dispatch`` that the class was written, or decorated, with."""
    dispatch = vars(klass).get("dispatch")
    made, own = vars(klass).get(_MADE, (None, None))
    return own if dispatch is made else dispatch


def _off_the_loop(dispatch: Any) -> Any:
    @functools.wraps(dispatch)
    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await settled(_in_a_hop(functools.partial(dispatch, self, *args, **kwargs)))

    return wrapper


def _stand_in(cls: Any, nearest: Any) -> Any:
    @functools.wraps(nearest)
    async def dispatch(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await settled(call(super(cls, self).dispatch, *args, **kwargs))

    return dispatch


async def _in_a_hop(dispatch: Callable[[], Any]) -> Any:
    """Call it on a worker thread. A coroutine that it returns to a cancelled task is closed: it is never awaited."""
    results: list[Any] = []
    try:
        await database_sync_to_async(lambda: results.append(dispatch()))()
    except BaseException as error:
        for result in filter(inspect.iscoroutine, results):
            result.close()
        if isinstance(error, TypeError | AttributeError) and "'coroutine' object" in str(error):
            _close_unbegun(error)
            raise TypeError(_looked_at(error)) from error
        raise
    return results[0]


def _close_unbegun(error: Exception) -> None:
    """Close coroutines that will never be awaited, so that no warning stands beside the error."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for value in filter(inspect.iscoroutine, list(frame.f_locals.values())):
            if inspect.getcoroutinestate(value) == inspect.CORO_CREATED:
                value.close()


def _looked_at(error: Exception) -> str:
    return (
        f"A synchronous dispatch() cannot look at what super().dispatch() returns ({error}): "
        "write `async def dispatch(self, request, …)`, and in it `response = await super().dispatch(…)`."
    )
