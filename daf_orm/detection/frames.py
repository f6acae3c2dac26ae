"""Look at the caller: the proof that an event loop waits for it, the user's line, and the expression on that line.

A loop that runs in the thread proves nothing: Playwright's synchronous API and gevent run greenlets beside one. Proof
is a coroutine, or a callback that the loop is calling, on the caller's own stack.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import asyncio.runners
import inspect
import linecache
import sysconfig
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from daf_orm._core.bridge import caller_of
from daf_orm._core.call_site import FOREIGN
from daf_orm.detection.explain import source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType, FrameType

_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR
_COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
_CALLBACK = asyncio.events.Handle._run.__code__  # noqa: SLF001 - asyncio calls every callback by it
_get_running_loop = asyncio._get_running_loop  # noqa: SLF001 - the public function raises if there is none
_RUNNER = asyncio.runners.Runner.run.__code__
_LIBRARIES = tuple(
    {sysconfig.get_paths()[key].rstrip("/") + "/" for key in ("stdlib", "platstdlib", "purelib", "platlib")}
)
EXPRESSION_LENGTH = 500
"""Characters of a source expression that are kept."""
MAX_FILES = 10_000
"""File names whose kind is remembered. The number is limited, since generated code has ever new ones."""
_INSTALLED = ("/site-packages/", "/dist-packages/")


@dataclass(slots=True)
class Sighting:
    """A call on the event loop, seen on its own stack."""

    user: FrameType
    """The innermost frame of the user's code."""
    inner: list[FrameType]
    """The frames that it called, down to the choke point, outermost first."""
    outer: list[FrameType] = field(default_factory=list)
    """The frames that called it, up to the loop, innermost first."""

    @property
    def can_await(self) -> bool:
        """Return True if ``await`` can be written in the user's line."""
        return _can_await([self.user, *self.outer])

    @property
    def coroutine(self) -> FrameType | None:
        """Return the frame of the user's code, at or around the user's line, in which ``await`` can be written."""
        stack = [self.user, *self.outer]
        for position, frame in enumerate(stack):
            if is_user_code(frame.f_code.co_filename) and _can_await(stack[position:]):
                return frame
        return None

    @property
    def is_callback(self) -> bool:
        """Return True if the loop itself calls this code, without a coroutine between."""
        return not any(frame.f_code.co_flags & _COROUTINE for frame in (self.user, *self.outer))


def look(frame: FrameType) -> Sighting | None:
    """Look up the stack from ``frame``. None without proof that an event loop waits for this code."""
    stack = _stack(frame)
    if not any(_waits(each.f_code) for each in stack):
        return None
    position = _innermost(stack, is_user_code)
    if position is None:  # a library's own task
        position = _innermost(stack, _is_third_party)
    if position is None:
        position = len(stack) - 1
    return Sighting(stack[position], stack[:position][::-1], stack[position + 1 :])


def expression(frame: FrameType) -> str:
    """Return the source of the expression that the frame is at, on one line; empty if there is no source."""
    filename = frame.f_code.co_filename
    if filename == "<string>":  # from Python 3.13 on, the program given by -c goes by that name as well as exec()'s
        return ""
    lines = linecache.getlines(filename, frame.f_globals)
    found = source.expression(frame.f_code, frame.f_lasti, tuple(lines)) if lines else ""
    return found if len(found) <= EXPRESSION_LENGTH else f"{found[: EXPRESSION_LENGTH - 1]}…"


@lru_cache(MAX_FILES)
def is_user_code(filename: str) -> bool:
    """Return True if a file belongs neither to the standard library, nor to an installed package, nor to DAF."""
    if filename.startswith((*FOREIGN, "<frozen ")):
        return False
    return not filename.startswith(_LIBRARIES) and not any(part in filename for part in _INSTALLED)


def _stack(frame: FrameType) -> list[FrameType]:
    """Return the frames from this one out to the loop. The code that has started the loop is not to blame."""
    stack = []
    step: FrameType | None = frame
    while step is not None:
        stack.append(step)
        if step.f_code in (_CALLBACK, _RUNNER):
            break
        step = caller_of(step)
    return stack


def _can_await(stack: Sequence[FrameType]) -> bool:
    """Return True if the innermost frame is a coroutine's, or a comprehension's in one (a frame up to Python 3.11)."""
    outside = next((frame for frame in stack if frame.f_code.co_name not in _COMPREHENSIONS), None)
    return outside is not None and bool(outside.f_code.co_flags & _COROUTINE)


def _waits(code: CodeType) -> bool:
    if code.co_flags & _COROUTINE or code is _CALLBACK:
        return True
    # uvloop calls callbacks from C: no frame is between them and the code that runs the loop.
    return code is _RUNNER and type(_get_running_loop()).__module__.startswith("uvloop")


def _innermost(stack: list[FrameType], wanted: Callable[[str], bool]) -> int | None:
    return next((i for i, frame in enumerate(stack) if wanted(frame.f_code.co_filename)), None)


@lru_cache(MAX_FILES)
def _is_third_party(filename: str) -> bool:
    return not filename.startswith(FOREIGN) and any(part in filename for part in _INSTALLED)
