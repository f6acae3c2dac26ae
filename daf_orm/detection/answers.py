"""Calls that read values which a function has returned: a finding names the function, whose line is not on the stack.

``daf_views`` converts the return value of a typed handler after the handler's end. A relation that was not loaded is
read then.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from daf_orm.detection.frames import is_user_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType, FunctionType

    from daf_orm.detection.frames import Sighting


class Answer(NamedTuple):
    """A value that a function has returned, while it is read."""

    code: CodeType
    """Of the function."""
    module: str
    inner: list[FrameType]
    """The frames that read it, down to the choke point, outermost first."""


_readers: dict[CodeType, Callable[[FrameType], tuple[CodeType, str] | None]] = {}
_folders: set[str] = set()
"""Those of the readers' packages."""


def reads_answers(reader: FunctionType, find: Callable[[FrameType], tuple[CodeType, str] | None]) -> None:
    """Name, for blocking calls below ``reader``, the function that has returned what it reads.

    ``find`` takes a frame of the reader, and returns the function's code and module.
    """
    _readers[reader.__code__] = find
    package = import_module(reader.__module__.partition(".")[0])
    _folders.update(f"{folder}/" for folder in package.__path__)


def answer_read(sighting: Sighting) -> Answer | None:
    """Return the answer that a call reads; None if code of the user makes the call."""
    stack = [*reversed(sighting.inner), sighting.user, *sighting.outer]  # innermost first
    for place, frame in enumerate(stack):
        if (find := _readers.get(frame.f_code)) is not None:
            found = find(frame)
            return None if found is None else Answer(*found, stack[:place][::-1])
        filename = frame.f_code.co_filename
        if is_user_code(filename) and not filename.startswith(tuple(_folders)):
            return None
    return None
