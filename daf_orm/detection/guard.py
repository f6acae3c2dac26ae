"""The guard at Django's choke points: whatever is about to block an event loop passes here, and is recorded.

Off an event loop it costs one C call. Wherever Django refuses to block (``async_unsafe``) it asks the environment for
``DJANGO_ALLOW_ASYNC_UNSAFE``, once it knows that a loop runs; and wherever it calls a database driver it enters
``DatabaseErrorWrapper``. The guard stands at both, so it sees every backend, and cursors that were opened in a thread
and are read on the loop, which Django lets pass.
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
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from django.core.exceptions import SynchronousOnlyOperation
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError
from django.utils.asyncio import async_unsafe

from daf_orm.detection import allowances, frames, recorders
from daf_orm.detection.call import BlockingCall
from daf_orm.detection.operations import Operation, identify
from daf_orm.detection.report import log
from daf_orm.detection.suggestions import suggest
from daf_orm.exceptions import BlockingCallError
from daf_orm.leases import holds_block
from daf_orm.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from daf_orm.detection.frames import Sighting

T = TypeVar("T")
logger = logging.getLogger("daf_orm")
_get_running_loop = asyncio._get_running_loop  # noqa: SLF001 - the only way to ask that raises nothing


class BlockingCallWarning(RuntimeWarning):
    """A blocking call was let through, in mode ``warn``."""


class _Here(threading.local):
    """What the guard knows in this thread."""

    at_work = False
    """Whether the guard itself is running: what it reads, source files, is not the user's doing."""
    entry: FrameType | None = None
    """Django's frame, called by the user's line, that the last call was recorded for."""
    io_entry: FrameType | None = None
    """The same of the last I/O: a query after it is news."""


_here = _Here()
_forced_mode: str | None = None


# The choke points


class _Environment:
    """Stands in for ``os.environ`` in ``async_unsafe``, which goes on if the variable that it asks for is set."""

    def get(self, name: str) -> str | None:
        """Judge the call that asks; return whether it may block."""
        # inspect.stack() reads files; `name` is only asked for on a running loop.
        if current_mode() != "off" and _see(sys._getframe(1)):  # noqa: SLF001
            return "allowed"
        return os.environ.get(name)  # Django's own guard decides, as without ours


class _System:
    environ = _Environment()


def _enter_driver(self: Any) -> None:  # noqa: ARG001 - a method's signature
    """Stand in for ``DatabaseErrorWrapper.__enter__``, which does nothing."""
    if _get_running_loop() is not None:
        _see(sys._getframe(1))  # noqa: SLF001


def _iterate(self: Any) -> Iterator[Any]:
    """Stand in for ``CursorWrapper.__iter__``, which looks once; a generator may be resumed elsewhere."""
    with self.db.wrap_database_errors:
        for row in self.cursor:
            if _get_running_loop() is not None:
                _see(sys._getframe(0))  # noqa: SLF001
            yield row


class Patch(NamedTuple):
    """One attribute of Django's that is replaced, and why."""

    owner: str
    name: str
    replacement: Any
    why: str


MODES: Final = ("raise", "warn", "log", "off")
PATCHES: Final = (
    Patch("django.utils.asyncio", "os", _System, "whatever Django calls async_unsafe"),
    Patch("django.db.utils:DatabaseErrorWrapper", "__enter__", _enter_driver, "every call of a database driver"),
    Patch(
        "django.db.backends.utils:CursorWrapper", "__iter__", _iterate, "a cursor that is read where it was not opened"
    ),
)
_originals: list[tuple[Any, str, Any]] = []


def activate() -> None:
    """Put the guard up. Idempotent."""
    if _originals:
        return
    for patch in PATCHES:
        module, _, cls = patch.owner.partition(":")
        owner = getattr(import_module(module), cls) if cls else import_module(module)
        _originals.append((owner, patch.name, vars(owner)[patch.name]))
        setattr(owner, patch.name, patch.replacement)


def deactivate() -> None:
    """Put Django back as it was."""
    while _originals:
        owner, name, original = _originals.pop()
        setattr(owner, name, original)


def is_active() -> bool:
    """Whether the guard is up."""
    return bool(_originals)


def is_armed() -> bool:
    """Whether the guard sees a blocking call: it is shown one, on an event loop of its own."""

    async def block() -> bool:
        with recorders.record_blocking() as calls, contextlib.suppress(SynchronousOnlyOperation):
            async_unsafe(lambda: None)()
        return bool(calls)

    loop = asyncio.new_event_loop()  # asyncio.run() would also unset the thread's own
    try:
        return loop.run_until_complete(block())
    finally:
        loop.close()


def is_at_work() -> bool:
    """Whether it is the guard itself that runs in this thread."""
    return _here.at_work


def force_mode(mode: str | None) -> None:
    """Let ``mode`` win over ``DAF_ORM["BLOCKING"]``, as a test run's does; None undoes it."""
    global _forced_mode  # noqa: PLW0603 - one mode per process
    _forced_mode = mode


def current_mode() -> str:
    """Return the mode in force: ``raise``, ``warn``, ``log`` or ``off``. In a notebook the default is ``warn``."""
    mode = _forced_mode or get_settings().BLOCKING
    return mode or ("warn" if "ipykernel" in sys.modules else "raise")


# A violation


def _see(frame: FrameType) -> bool:
    """Something is about to block a running loop's thread: decide, record, raise. False if that is not certain."""
    if _here.at_work or _is_harmless(frame):
        return True
    _here.at_work = True
    try:
        if (sighting := frames.look(frame)) is None:
            return "greenlet" in sys.modules  # only a greenlet can stand beside a loop that runs
        error = _judge(sighting)
    finally:
        _here.at_work = False
    if error is not None:
        raise error
    return True


def _judge(sighting: Sighting) -> Exception | None:
    if (mode := current_mode()) == "off":
        return None
    block = recorders.current_block()
    if block is None and allowances.find_allowance(sighting) is not None:
        return _outside_transaction(sighting)
    if block is None and mode == "raise":
        return _refuse(_describe(sighting))
    if (refusal := _outside_transaction(sighting)) is not None:
        return refusal
    if _begins_anew(sighting):
        _pass_on(_describe(sighting), mode, block)
    return None


def see_io(sighting: Sighting, operation: str, remedy: Callable[[str], str]) -> None:
    """Judge what blocks without a database as a query is judged. ``remedy`` is given the source of its expression."""
    if _here.at_work:
        return
    _here.at_work = True
    try:
        error = _judge_io(sighting, operation, remedy)
    finally:
        _here.at_work = False
    if error is not None:
        raise error


def _judge_io(sighting: Sighting, operation: str, remedy: Callable[[str], str]) -> Exception | None:
    if (mode := current_mode()) == "off":
        return None
    block = recorders.current_block()
    if block is None and allowances.find_allowance(sighting) is not None:
        return None
    if block is None and mode == "raise":
        return _refuse(_describe_io(sighting, operation, remedy))
    if _begins_anew_io(sighting):
        _pass_on(_describe_io(sighting, operation, remedy), mode, block)
    return None


def _refuse(call: BlockingCall) -> BlockingCallError:
    error = BlockingCallError(call)
    recorders.record(call, error)
    log(call, logging.ERROR)  # the error may be swallowed: a template's {% if %} does it
    return error


def _describe(sighting: Sighting) -> BlockingCall:
    operation = _identify(sighting)
    return _describe_as(sighting, operation, functools.partial(suggest, operation))


def _describe_io(sighting: Sighting, name: str, remedy: Callable[[str], str]) -> BlockingCall:
    operation = Operation(name=name, template=_identify(sighting).template)
    return _describe_as(sighting, operation, functools.partial(suggest, operation) if operation.template else remedy)


def _describe_as(sighting: Sighting, operation: Operation, remedy: Callable[[str], str]) -> BlockingCall:
    user = sighting.user
    source = _tried(functools.partial(frames.expression, user), "")
    return BlockingCall(
        filename=user.f_code.co_filename,
        lineno=user.f_lineno,
        function=user.f_code.co_qualname,
        module=str(user.f_globals.get("__name__") or ""),
        expression=source,
        operation=operation.name,
        model=operation.model,
        field=operation.field,
        sql=operation.sql,
        template=operation.template,
        suggestion=_tried(functools.partial(remedy, source), ""),
    )


def _identify(sighting: Sighting) -> Operation:
    return _tried(functools.partial(identify, sighting.inner), Operation(name="database"))


def _tried(func: Callable[[], T], default: T) -> T:
    """Frames hold objects of any kind, and any loader their source: what cannot be described blocks all the same."""
    try:
        return func()
    except Exception:
        logger.debug("A blocking call could not be described in full.", exc_info=True)
        return default


def _pass_on(call: BlockingCall, mode: str, block: list[BlockingCall] | None) -> None:
    """Make a call known that is let through."""
    if block is not None:
        block.append(call)
        return
    recorders.record(call, None)
    if mode == "warn":
        warnings.warn_explicit(str(call), BlockingCallWarning, call.filename, call.lineno, module=call.module)
    else:
        log(call, logging.WARNING)


def _begins_anew(sighting: Sighting) -> bool:
    """Whether this is not one more step, a fetch after an execute, of the call that was recorded last."""
    entry = sighting.inner[0] if sighting.inner else sighting.user
    if _here.entry is entry:
        return False
    # A frame keeps its variables alive: no longer than the loop's present callback.
    asyncio.get_running_loop().call_soon(_forget_entry)
    _here.entry = entry
    return True


def _begins_anew_io(sighting: Sighting) -> bool:
    """Whether the I/O is neither a step of the call that was recorded last, nor of the I/O that was."""
    entry = sighting.inner[0] if sighting.inner else sighting.user
    if entry in (_here.entry, _here.io_entry):
        return False
    asyncio.get_running_loop().call_soon(_forget_entry)
    _here.io_entry = entry
    return True


def _forget_entry() -> None:
    _here.entry = _here.io_entry = None


def _is_harmless(frame: FrameType) -> bool:
    """Whether Django refuses something on an event loop that would not block: it has nothing to do."""
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


def _outside_transaction(sighting: Sighting) -> TransactionManagementError | None:
    """Refuse to let a call through inside an async atomic block: its lease's connection is used by worker threads."""
    if (block := holds_block()) is None:
        return None
    return TransactionManagementError(
        f"A blocking call at {sighting.user.f_code.co_filename}:{sighting.user.f_lineno} is allowed, but it is inside "
        f"the atomic block at {block.origin}, and would run outside the transaction. Use "
        "daf_orm.database_sync_to_async(), or move it out of the block."
    )
