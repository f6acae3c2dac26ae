"""A finding of the guard, a query or I/O: its description, and whether it is only a further step of the last one."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from django.db.transaction import TransactionManagementError

from daf_orm._core.blocking_call import BlockingCall
from daf_orm._leases.scope import holds_block
from daf_orm.detection import frames
from daf_orm.detection.answers import answer_read
from daf_orm.detection.elsewhere import moved, where_await_can_stand
from daf_orm.detection.explain.operation import Operation, identify
from daf_orm.detection.explain.suggestion import hop, suggest, suggest_for_answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from daf_orm.detection.answers import Answer
    from daf_orm.detection.frames import Sighting

T = TypeVar("T")
logger = logging.getLogger("daf_orm")


class Finding(Protocol):
    """A finding on which the guard decides."""

    @property
    def sighting(self) -> Sighting:
        """The caller, and its stack."""

    @property
    def runs_unguarded(self) -> bool:
        """True if it runs without DAF's guard."""

    def describe(self) -> BlockingCall:
        """Return the record."""

    def begins_anew(self) -> bool:
        """Return False if it is a further step, a fetch after an execute, of the last recorded one."""

    def refusal(self) -> TransactionManagementError | None:
        """Return the error if it cannot be let through here in any mode; None if it can."""


class _Entries(threading.local):
    """The Django frames, called by the user's lines, for which the last calls in this thread were recorded."""

    query: FrameType | None = None
    io: FrameType | None = None
    """The frame of the last I/O. A query after it is new."""


_entries = _Entries()


@dataclass(frozen=True, slots=True)
class QueryFinding:
    """A query, or another use of the database."""

    sighting: Sighting

    @property
    def runs_unguarded(self) -> bool:
        """True if Django's own check lets it pass."""
        return bool(os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"))

    def describe(self) -> BlockingCall:
        """Name it by the Django operation that was called."""
        if (answer := _or_default(functools.partial(answer_read, self.sighting), None)) is not None:
            return _describe_answer(answer)
        operation = _identify(self.sighting)
        return _describe(self.sighting, operation, functools.partial(suggest, operation), hop)

    def begins_anew(self) -> bool:
        """Compare it with the last query."""
        entry = _entry_of(self.sighting)
        if _entries.query is entry:
            return False
        _entries.query = entry
        _forget_soon()
        return True

    def refusal(self) -> TransactionManagementError | None:
        """Refuse it inside an async atomic block: its lease's connection is used by worker threads."""
        if (block := holds_block()) is None:
            return None
        place = f"{self.sighting.user.f_code.co_filename}:{self.sighting.user.f_lineno}"
        return TransactionManagementError(
            f"A blocking call at {place} is allowed, but it is inside the atomic block at {block.origin}, and would "
            "run outside the transaction. Use daf_orm.database_sync_to_async(), or move it out of the block."
        )


@dataclass(frozen=True, slots=True)
class IOFinding:
    """Any other blocking call. ``remedy`` takes the source of the expression and returns the suggestion."""

    sighting: Sighting
    operation: str
    remedy: Callable[[str], str]
    thread: Callable[[str], str]
    """Takes an expression and returns it done in a thread."""
    runs_unguarded = True

    def describe(self) -> BlockingCall:
        """Name it as the table does; in a template, whose author cannot follow ``remedy``, suggest what helps there."""
        called = _identify(self.sighting)
        operation = Operation(name=self.operation, template=called.template)
        remedy = self.remedy
        if operation.template:
            remedy = functools.partial(suggest, operation)
        elif called.has_twin:
            remedy = functools.partial(suggest, called)
        return _describe(self.sighting, operation, remedy, self.thread)

    def begins_anew(self) -> bool:
        """Compare it with the last query, which may do I/O itself, and with the last I/O."""
        entry = _entry_of(self.sighting)
        if entry in (_entries.query, _entries.io):
            return False
        _entries.io = entry
        _forget_soon()
        return True

    def refusal(self) -> None:
        """Return None: it may run anywhere, since no transaction depends on it."""


def _entry_of(sighting: Sighting) -> FrameType:
    return sighting.inner[0] if sighting.inner else sighting.user


def _forget_soon() -> None:
    # A frame keeps its variables alive, so it is kept no longer than the loop's present callback.
    asyncio.get_running_loop().call_soon(_forget)


def _forget() -> None:
    _entries.query = _entries.io = None


def _describe(
    sighting: Sighting, operation: Operation, remedy: Callable[[str], str], thread: Callable[[str], str]
) -> BlockingCall:
    user = sighting.user
    source = _or_default(functools.partial(frames.expression, user), "")
    suggestion = _or_default(functools.partial(remedy, source), "")
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
        suggestion=_or_default(lambda: moved(suggestion, sighting, thread), suggestion),
        coroutine=where_await_can_stand(sighting),
    )


def _describe_answer(answer: Answer) -> BlockingCall:
    """Describe a call that reads what a function has returned: at the function, because none of its lines runs."""
    operation = _or_default(functools.partial(identify, answer.inner), Operation(name="database"))
    return BlockingCall(
        filename=answer.code.co_filename,
        lineno=answer.code.co_firstlineno,
        function=answer.code.co_qualname,
        module=answer.module,
        expression="",
        operation=operation.name,
        model=operation.model,
        field=operation.field,
        sql=operation.sql,
        template=None,
        suggestion=suggest_for_answer(operation, f"{answer.code.co_qualname.rpartition('<locals>.')[2]}()"),
    )


def _identify(sighting: Sighting) -> Operation:
    return _or_default(functools.partial(identify, sighting.inner), Operation(name="database"))


def _or_default(func: Callable[[], T], default: T) -> T:
    """Return a default if a description fails, as it may: frames hold any objects, and loaders any source."""
    try:
        return func()
    except Exception:
        logger.debug("A blocking call could not be described in full.", exc_info=True)
        return default
