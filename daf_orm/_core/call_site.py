"""The place in the user's code where something began, for messages and reports."""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from daf_orm._core.bridge import caller_of


def _home(package: str) -> str:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent) + "/"


FOREIGN = (str(Path(__file__).parents[1]) + "/", _home("django"), _home("asgiref"), _home("asyncio"))
"""Folders that are never the user's code: Django, asgiref, asyncio and DAF."""
_FOREIGN_FILES = frozenset(spec.origin for name in ("contextlib", "threading") if (spec := find_spec(name)))


class CallSite(NamedTuple):
    """A place in the user's code."""

    filename: str
    lineno: int
    function: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.lineno} in {self.function}"


def find_call_site() -> CallSite:
    """Return the innermost frame of the running code that belongs to neither Django, asgiref, asyncio nor DAF."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads files
    last = frame
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith(FOREIGN) and filename not in _FOREIGN_FILES:
            break
        last, frame = frame, caller_of(frame)
    found = frame or last
    assert found is not None
    return CallSite(found.f_code.co_filename, found.f_lineno, found.f_code.co_qualname)
