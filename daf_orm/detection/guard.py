"""The guard at Django's choke points: every call that is about to block an event loop passes here, and is recorded.

Off an event loop it costs one C call. Django refuses to block in ``async_unsafe``. Once that knows that a loop runs, it
asks the environment for ``DJANGO_ALLOW_ASYNC_UNSAFE``. Wherever Django calls a database driver it enters
``DatabaseErrorWrapper``. The guard is at both places, so it sees every backend. It also sees cursors that were opened
in a thread and are read on the loop, which Django lets pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.utils import load_backend
from django.utils.asyncio import async_unsafe

from daf_orm._core import bridge as bridges
from daf_orm._core.blocking_call import BlockingCallError
from daf_orm.databases import database_of
from daf_orm.detection import allowances, frames, recorders, translator
from daf_orm.detection.findings import QueryFinding
from daf_orm.detection.report import log
from daf_orm.patches import Patch, PatchTable
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from daf_orm._core.blocking_call import BlockingCall
    from daf_orm.detection.findings import Finding, IOFinding

_get_running_loop = asyncio._get_running_loop  # noqa: SLF001 - the public function raises if there is none


class BlockingCallWarning(RuntimeWarning):
    """A blocking call was let through, in mode ``warn``."""


class _ThreadState(threading.local):
    """The guard's state in this thread."""

    at_work = False
    """True while the guard itself runs: it reads source files, which the user's code does not."""


_thread_state = _ThreadState()
_forced_mode: str | None = None
_UNSAFE: Final = "DJANGO_ALLOW_ASYNC_UNSAFE"


def _lets_nothing_run(call: BlockingCall) -> bool:  # noqa: ARG001 - a predicate's signature
    return False


_lets_run: Callable[[BlockingCall], bool] = _lets_nothing_run


def _blocks_loop() -> bool:
    """Return True if a query here would block an event loop: on its thread, with a connection that cannot wait."""
    return _get_running_loop() is not None and bridges.thread.bridge is None


# The choke points


class _Environment:
    """Stands in for ``os.environ`` in ``async_unsafe``, which goes on if the variable that it asks for is set."""

    def get(self, name: str, default: str | None = None) -> str | None:
        """Decide on the call that asks; return a value if it may block."""
        # inspect.stack() reads files; `name` is only asked for on a running loop.
        if name == _UNSAFE and current_mode() != "off" and _check(sys._getframe(1)):  # noqa: SLF001
            return "allowed"
        return os.environ.get(name, default)  # Django's own guard decides, as without DAF's

    def __getattr__(self, name: str) -> Any:
        return getattr(os.environ, name)


class _System:
    """Stands in for the module ``os``."""

    environ = _Environment()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def _enter_driver(self: Any) -> None:
    """Stand in for ``DatabaseErrorWrapper.__enter__``, which does nothing."""
    if _get_running_loop() is None or bridges.thread.bridge is not None:  # several times for each query
        return
    if translator.calls_driver(self.wrapper, frame := sys._getframe(1)):  # noqa: SLF001
        _check(frame)


def _iterate(self: Any) -> Iterator[Any]:
    """Stand in for ``CursorWrapper.__iter__``, which is checked only once; a generator may be resumed elsewhere."""
    with self.db.wrap_database_errors:
        for row in self.cursor:
            if _blocks_loop():
                _check(sys._getframe(0))  # noqa: SLF001
            yield row


def _get_attribute(self: Any, name: str) -> Any:
    """Stand in for ``CursorWrapper.__getattr__``, which returns unwrapped what only some drivers have."""
    found = getattr(self.cursor, name)
    if name in CursorWrapper.WRAP_ERROR_ATTRS:
        return self.db.wrap_database_errors(found)
    guarding = _DRIVERS_OWN.get(name)
    if guarding is None or translator.is_asynchronous(self.cursor):
        return found
    return functools.wraps(found)(functools.partial(guarding, self, found))


def _call(self: Any, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG001 - read from the frame
    if _blocks_loop():
        _check(sys._getframe())  # noqa: SLF001
    return func(*args, **kwargs)


def _stream(self: Any, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Iterator[Any]:  # noqa: ARG001 - same
    if _blocks_loop():
        _check(sys._getframe())  # noqa: SLF001
    for row in func(*args, **kwargs):
        if _blocks_loop():  # a generator may be resumed elsewhere
            _check(sys._getframe())  # noqa: SLF001
        yield row


_DRIVERS_OWN: Final = {**dict.fromkeys(("copy", "copy_expert", "copy_from", "copy_to"), _call), "stream": _stream}


def _guard_probe(probe: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Guard a backend's ``is_usable()``, which calls its driver past Django's wrappers."""

    @functools.wraps(probe)
    def is_usable(self: Any) -> bool:
        if _blocks_loop() and self.connection is not None:
            _check(sys._getframe())  # noqa: SLF001
        return probe(self)

    return is_usable


def _in_the_likeness(replacement: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a wrapper factory that makes a replacement look like the original function."""
    return lambda original: functools.update_wrapper(replacement, original)


PATCHES: Final = PatchTable(
    Patch(owner="django.utils.asyncio", name="os", replacement=_System(), why="every function that is async_unsafe"),
    Patch(
        owner="django.db.utils:DatabaseErrorWrapper",
        name="__enter__",
        wrapper=_in_the_likeness(_enter_driver),
        why="every call of a database driver",
    ),
    Patch(
        owner="django.db.backends.utils:CursorWrapper",
        name="__iter__",
        wrapper=_in_the_likeness(_iterate),
        why="a cursor that is read where it was not opened",
    ),
    Patch(
        owner="django.db.backends.utils:CursorWrapper",
        name="__getattr__",
        wrapper=_in_the_likeness(_get_attribute),
        why="COPY, and rows as they arrive",
    ),
)


def _probes() -> Iterator[Patch]:
    """Yield a patch for each backend in use whose probe asks a server. SQLite's always returns True."""
    for engine in sorted({connections.settings[alias]["ENGINE"] for alias in connections}):
        try:
            backend = load_backend(engine).DatabaseWrapper
        except ImproperlyConfigured:  # no driver, or no such backend: Django raises it at its use
            continue
        owner = next((cls for cls in backend.__mro__ if "is_usable" in vars(cls)), BaseDatabaseWrapper)
        if iscoroutinefunction(vars(owner)["is_usable"]):
            continue
        if owner is not BaseDatabaseWrapper and database_of(backend).has_server:
            yield Patch(owner=owner, name="is_usable", wrapper=_guard_probe, why="a probe of the connection")


def activate() -> None:
    """Activate the guard. Idempotent."""
    if not is_active():
        PATCHES.activate((*PATCHES.patches, *{probe.owner: probe for probe in _probes()}.values()))


def deactivate() -> None:
    """Restore Django."""
    PATCHES.deactivate()


def is_active() -> bool:
    """Return True if the guard is active."""
    return PATCHES.is_active


def is_armed() -> bool:
    """Return True if the guard sees a blocking call that is made as a test, on a new event loop."""

    async def block() -> bool:
        with recorders.record_blocking() as calls, contextlib.suppress(SynchronousOnlyOperation):
            async_unsafe(lambda: None)()
        return bool(calls)

    loop = asyncio.new_event_loop()  # asyncio.run() would also unset the thread's loop
    try:
        return loop.run_until_complete(block())
    finally:
        loop.close()


def is_at_work() -> bool:
    """Return True if the guard itself runs in this thread."""
    return _thread_state.at_work


def force_mode(mode: str | None) -> str | None:
    """Let ``mode`` override ``DAF_ORM["BLOCKING"]``, for a test run; None undoes it. Return the mode before."""
    global _forced_mode  # one mode per process
    before, _forced_mode = _forced_mode, mode
    return before


Predicate: TypeAlias = "Callable[[BlockingCall], bool]"


def let_run(predicate: Predicate) -> Predicate:
    """Let known calls run in mode ``raise``, if they would run without a guard. Return the predicate before.

    The first one knows no call.
    """
    global _lets_run  # one test run per process
    before, _lets_run = _lets_run, predicate
    return before


def current_mode() -> str:
    """Return the mode in force: ``raise``, ``warn``, ``log`` or ``off``. In a notebook the default is ``warn``."""
    mode = _forced_mode or get_settings().BLOCKING
    return mode or ("warn" if "ipykernel" in sys.modules else "raise")


# A violation


def _check(frame: FrameType) -> bool:
    """Decide on, record and raise a call that is about to block a running loop's thread. False if that is uncertain."""
    if _thread_state.at_work or _is_harmless(frame):
        return True
    _thread_state.at_work = True
    try:
        if (sighting := frames.look(frame)) is None:
            return "greenlet" in sys.modules  # only a greenlet can stand beside a loop that runs
        error = _decide(QueryFinding(sighting))
    finally:
        _thread_state.at_work = False
    if error is not None:
        raise error
    return True


def check_io(finding: IOFinding) -> None:
    """Decide on a call that blocks without a database, by the rules for queries."""
    if _thread_state.at_work:
        return
    _thread_state.at_work = True
    try:
        error = _decide(finding)
    finally:
        _thread_state.at_work = False
    if error is not None:
        raise error


def _decide(finding: Finding) -> Exception | None:
    if (mode := current_mode()) == "off":
        return None
    block = recorders.current_block()
    if block is None and allowances.find_allowance(finding.sighting) is not None:
        return finding.refusal()
    if block is None and mode == "raise":
        call = finding.describe()
        if not (finding.runs_unguarded and _lets_run(call)):
            return _refuse(call)
    if (refusal := finding.refusal()) is not None:
        return refusal
    if finding.begins_anew():
        _pass_on(finding.describe(), mode, block)
    return None


def _refuse(call: BlockingCall) -> BlockingCallError:
    error = BlockingCallError(call)
    recorders.record(call, error)
    log(call, logging.ERROR)  # the error may be swallowed: a template's {% if %} does it
    return error


def _pass_on(call: BlockingCall, mode: str, block: list[BlockingCall] | None) -> None:
    """Record, and log or warn of, a call that is let through."""
    if block is not None:
        block.append(call)
        return
    recorders.record(call, None)
    if mode == "warn":
        warnings.warn_explicit(str(call), BlockingCallWarning, call.filename, call.lineno, module=call.module)
    else:
        log(call, logging.WARNING)


def _is_harmless(frame: FrameType) -> bool:
    """Return True if Django refuses a call on an event loop that would not block, since it has nothing to do."""
    func, args = frame.f_locals.get("func"), frame.f_locals.get("args") or (None,)
    if not isinstance(args, tuple) or not isinstance(args[0], BaseDatabaseWrapper):
        return False
    match getattr(func, "__name__", ""):
        case "clean_savepoints":
            return True
        case "close":
            return args[0].connection is None
        case "ensure_connection":
            return args[0].connection is not None
        case "savepoint" | "savepoint_commit" | "savepoint_rollback":
            return not args[0].in_atomic_block
    return False
