"""Await a coroutine in a copy of the context: its changes to context variables are not seen by the caller.

A new task would do that too, at several times the cost. The coroutine stays in the caller's task: it is
cancelled with it, and ``asyncio.current_task()`` is the same.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from daf_views._core.begun import rest_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

T = TypeVar("T")


class InOwnContext(Generic[T]):
    """``await InOwnContext(work())``: tasks and callbacks that the work starts copy its context, not the caller's."""

    __slots__ = ("_work",)

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        run = contextvars.copy_context().run
        try:
            waited_for = run(self._work.send, None)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # the coroutine's
        return (yield from rest_of(self._work, waited_for, run))
