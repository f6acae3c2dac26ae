"""The I/O tier: sleeping, files, sockets, locks, caches, mail and hashing on the event loop, recorded like a query.

Opt-in. Problem: Python and its libraries block in passing all the time, to import, to log, to write a traceback, and a
detector that flags those is switched off. Mechanism: a call counts only if the user's own code, inside the event loop,
has called it. No frame between may be plumbing that is warmed up once, or a debugger.

Every function in the table (:mod:`daf_orm.detection.io.functions`) is replaced where it is looked up; off an event loop
that costs one call more. Names imported before, as by ``from time import sleep``, are not seen.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import django

from daf_orm._core.bridge import caller_of
from daf_orm._core.call_site import FOREIGN
from daf_orm.detection import frames, guard
from daf_orm.detection.findings import IOFinding
from daf_orm.detection.io.functions import rows
from daf_orm.detection.io.remedies import remedy, threaded
from daf_orm.patches import Patch, PatchTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from daf_orm.detection.frames import Sighting
    from daf_orm.detection.io.functions import Row

MISSING: Final = 'Finding blocking I/O needs blockbuster: pip install "django-daf[io]".'
_get_running_loop = asyncio._get_running_loop  # noqa: SLF001 - the public function raises if there is none
_LOOPS = frozenset({asyncio.events.Handle._run.__code__, asyncio.runners.Runner.run.__code__})  # noqa: SLF001
_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def _in(home: str | None, names: str) -> tuple[str, ...]:
    assert home is not None
    return tuple(str(Path(home).parent / name) + ("/" if name[-1] == "/" else "") for name in names.split())


# Never flagged, anywhere on the stack: a user's own module that is imported, a user's own log handler.
_APART: Final = (
    *("<frozen importlib.", "<frozen linecache>", "<frozen runpy>"),
    *_in(os.__file__, "importlib/ logging/ linecache.py traceback.py warnings.py bdb.py pdb.py weakref.py pkgutil.py"),
)
_APART_INSTALLED: Final = ("/site-packages/_pytest/", "/site-packages/coverage/", "/pydevd", "/debugpy/")
# Never flagged as the function that the user's line called: the loop's own work, and files read once and kept.
_PLUMBING: Final = (
    *("uvloop/",),
    *_in(os.__file__, "asyncio/ gettext.py locale.py mimetypes.py tokenize.py inspect.py zoneinfo/"),
    *_in(django.__file__, "conf/ template/loaders/ utils/translation/ utils/autoreload.py views/debug.py"),
    *_in(django.__file__, "contrib/staticfiles/ contrib/auth/password_validation.py"),
    # The guard of the database has decided on these.
    *_in(django.__file__, "db/backends/ db/utils.py"),
    *(home for home in FOREIGN if "asgiref" in home),
)
# The same for these functions: caches and mail backends make their directory when they are made.
_MAKERS: Final = (
    ("/django/core/cache/backends/filebased.py", frozenset({"__init__"})),
    ("/django/core/mail/backends/filebased.py", frozenset({"__init__"})),
)


def is_available() -> bool:
    """Return True if blockbuster is installed."""
    try:
        return find_spec("blockbuster") is not None
    except ValueError:  # its import is being prevented
        return False


def _set(owner: Any, name: str, value: Any) -> None:
    try:
        setattr(owner, name, value)
    except TypeError:  # a type written in C; blockbuster depends on a package that can set it
        import_module("forbiddenfruit").curse(owner, name, value)


PATCHES: Final = PatchTable(assign=_set)


def activate() -> None:
    """Detect I/O too. Idempotent. Raises ImportError without blockbuster."""
    if not is_active():
        made: dict[int, Callable[..., Any]] = {}
        PATCHES.activate(
            Patch(
                owner=row.owner,
                name=row.name,
                wrapper=functools.partial(_guarded_once, row=row, made=made),
                why=f"{row.operation} blocks",
            )
            for row in tuple(rows())
        )


def deactivate() -> None:
    """Restore all functions."""
    PATCHES.deactivate()


def is_active() -> bool:
    """Return True if I/O is detected."""
    return PATCHES.is_active


def _guarded_once(original: Callable[..., Any], row: Row, made: dict[int, Callable[..., Any]]) -> Callable[..., Any]:
    """Return the guarded function: the same one wherever the same function is found, as ``open`` in three modules."""
    if id(original) not in made:
        made[id(original)] = _guarded(original, row)
    return made[id(original)]


def _guarded(original: Callable[..., Any], row: Row) -> Callable[..., Any]:
    @functools.wraps(original)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if _get_running_loop() is not None and not guard.is_at_work() and not row.is_harmless(*args, **kwargs):
            _check(sys._getframe(), row)  # noqa: SLF001 - inspect.stack() reads files
        return original(*args, **kwargs)

    if not inspect.isfunction(original):  # one in C: pickle looks for it by name, and process pools pickle it
        guarded.__module__ = row.owner.__name__ if inspect.ismodule(row.owner) else row.owner.__module__
    return guarded


# The caller


def _check(frame: FrameType, row: Row) -> None:
    inside = _inside_the_loop(frame)
    if any(_is_apart(each) or _is_within(each, (*row.allowed_in, *_MAKERS)) for each in inside):
        return
    sighting = frames.look(frame)
    if sighting is None or sighting.user not in inside or not _is_the_users(sighting):
        return
    operation = _name(sighting, row)
    guard.check_io(
        IOFinding(sighting, operation, functools.partial(remedy, operation), functools.partial(threaded, operation))
    )


def _inside_the_loop(frame: FrameType) -> list[FrameType]:
    """Return the frames that the loop called, not those of the code that runs it, innermost first."""
    stack: list[FrameType] = []
    step: FrameType | None = frame
    while step is not None and step.f_code not in _LOOPS:
        stack.append(step)
        step = caller_of(step)
    if step is None:  # uvloop, run without a Runner: frames outside its outermost coroutine run it
        while stack and not stack[-1].f_code.co_flags & _COROUTINE:
            stack.pop()
    return stack


def _is_apart(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    return (
        filename.startswith(_APART)
        or any(part in filename for part in _APART_INSTALLED)
        or frame.f_code.co_name == "__del__"  # may run at any collection
    )


def _is_within(frame: FrameType, places: Iterable[tuple[str, Iterable[str]]]) -> bool:
    code = frame.f_code
    return any(code.co_filename.endswith(file) and code.co_name in functions for file, functions in places)


def _is_the_users(sighting: Sighting) -> bool:
    """Return True if a line of the user blocks, not a library's task nor plumbing."""
    if not frames.is_user_code(sighting.user.f_code.co_filename):
        return False
    return not any(frame.f_code.co_filename.startswith(_PLUMBING) for frame in sighting.inner)


def _name(sighting: Sighting, row: Row) -> str:
    """Return the name that users know the function by: a lock's is the queue's, or the event's."""
    for frame in sighting.inner if row.named_after else ():
        if frame.f_code.co_filename.endswith(row.named_after) and not frame.f_code.co_flags & _COROUTINE:
            return f"cache.{frame.f_code.co_name}" if row.operation.startswith("cache.") else frame.f_code.co_qualname
    return row.operation
