"""Await a coroutine in a copy of the context: its changes to context variables are not seen by the caller.

A new task would do that too, at several times the cost. The coroutine stays in the caller's task: it is
cancelled with it, and ``asyncio.current_task()`` is the same.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")


class InOwnContext(Generic[T]):
    """``await InOwnContext(work())``: tasks and callbacks that the work starts copy its context, not the caller's."""

    __slots__ = ("_work",)

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        # PEP 380's expansion of `yield from`, each step of which is run in the context.
        run, work = contextvars.copy_context().run, self._work
        step: Callable[[Any], Any] = work.send
        value: Any = None
        while True:
            try:
                waited_for = run(step, value)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return] # the coroutine's
            try:
                value = yield waited_for
                step = work.send
            except GeneratorExit:
                run(work.close)
                raise
            except BaseException as error:  # noqa: BLE001 - handed on: a cancellation, or what a future raises
                step, value = work.throw, error
