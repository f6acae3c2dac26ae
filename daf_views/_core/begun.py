"""Begin a coroutine at once, and await only its rest.

A coroutine that never has to wait ends in its first step. Its caller then needs nothing that guards a wait, such as a
timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")


class Begun(Generic[T]):
    """A coroutine that has run to its first wait, or to its end. Raises its error if it ended with one.

    ``await`` runs the rest, in the same task, and returns the result. It must follow before the task waits for anything
    else.
    """

    __slots__ = ("_result", "_waited_for", "_work", "is_done")

    _result: T

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self.is_done = False
        """True if it has ended."""
        try:
            self._waited_for = work.send(None)
        except StopIteration as end:
            self._result, self.is_done = end.value, True

    def __await__(self) -> Generator[Any, Any, T]:
        if self.is_done:
            return self._result
        return (yield from rest_of(self._work, self._waited_for, _step))


def rest_of(
    work: Coroutine[Any, Any, T], waited_for: Any, run: Callable[[Callable[[Any], Any], Any], Any]
) -> Generator[Any, Any, T]:
    """Run a coroutine from its first wait to its end, each step by ``run(step, value)``. Return its result.

    Source: PEP 380's expansion of ``yield from``.
    """
    step: Callable[[Any], Any]
    while True:
        try:
            value = yield waited_for
            step = work.send
        except GeneratorExit:
            run(_close, work)
            raise
        except BaseException as error:  # noqa: BLE001 - handed on: a cancellation, or what a future raises
            step, value = work.throw, error
        try:
            waited_for = run(step, value)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # the coroutine's


def _step(step: Callable[[Any], Any], value: Any) -> Any:
    return step(value)


def _close(work: Coroutine[Any, Any, Any]) -> None:
    work.close()
