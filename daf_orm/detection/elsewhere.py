"""A place for ``await``, if the line that blocked is not in a coroutine: the coroutine that called it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final

from daf_orm._core.blocking_call import place
from daf_orm.detection import frames
from daf_orm.detection.explain.rewrite import Expression

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from daf_orm.detection.frames import Sighting

_NAMES: Final = {"<lambda>": "The lambda", "<genexpr>": "The generator expression", "<module>": "The module"}


def where_await_can_stand(sighting: Sighting) -> str:
    """Return the place of the calling coroutine; empty if the user's line is in one, or if there is none."""
    frame = None if sighting.can_await else sighting.coroutine
    return "" if frame is None else place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)


def moved(suggestion: str, sighting: Sighting, hop: Callable[[str], str]) -> str:
    """Return a suggestion with its place, for one that cannot be pasted because the function is not async.

    ``hop`` takes an expression and returns it done in a thread.
    """
    if sighting.can_await or not suggestion:
        return suggestion
    name = _name(sighting.user.f_code)
    if (frame := sighting.coroutine) is not None:
        source = frames.expression(frame)
        there = (_consumed(source) if _drives_generator(sighting, frame) else None) or hop(source)
        return (
            f"{name} is not async. Write in {where_await_can_stand(sighting)}: {there}. Or there, before: {suggestion}"
        )
    if sighting.is_callback:
        return f"{suggestion} That needs a task: {name} is called by the event loop and is not async."
    return f"{suggestion} That needs a coroutine function, and {name} is not async."


def _drives_generator(sighting: Sighting, coroutine: FrameType) -> bool:
    """Return True if the coroutine's line iterates over a generator, which would block in any place."""
    stack = [sighting.user, *sighting.outer]
    called = stack[stack.index(coroutine) - 1].f_code
    return bool(called.co_flags & inspect.CO_GENERATOR) and called.co_name != "<genexpr>"


def _consumed(source: str) -> str | None:
    return Expression(source).listed()


def _name(code: CodeType) -> str:
    return _NAMES.get(code.co_name) or f"{code.co_qualname.rpartition('<locals>.')[2]}()"
