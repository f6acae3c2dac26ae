"""What was seen to block, a query or I/O: how it is described, and when it is one more step of the last."""

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
from daf_orm.detection.elsewhere import moved, where_await_can_stand
from daf_orm.detection.explain.operation import Operation, identify
from daf_orm.detection.explain.suggestion import hop, suggest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from daf_orm.detection.frames import Sighting

T = TypeVar("T")
logger = logging.getLogger("daf_orm")


class Finding(Protocol):
    """What the guard judges."""

    @property
    def sighting(self) -> Sighting:
        """Who called, on whose stack."""

    @property
    def runs_unguarded(self) -> bool:
        """Whether it runs where no guard is up."""

    def describe(self) -> BlockingCall:
        """Return the record."""

    def begins_anew(self) -> bool:
        """Whether this is not one more step, a fetch after an execute, of what was recorded last."""

    def refusal(self) -> TransactionManagementError | None:
        """Return why it cannot be let through here, whatever the mode; None if it can."""


class _Entries(threading.local):
    """Django's frames, called by the user's lines, that the last calls in this thread were recorded for."""

    query: FrameType | None = None
    io: FrameType | None = None
    """The same of the last I/O: a query after it is news."""


_entries = _Entries()


@dataclass(frozen=True, slots=True)
class QueryFinding:
    """The database is asked."""

    sighting: Sighting

    @property
    def runs_unguarded(self) -> bool:
        """Whether Django's own check lets it pass."""
        return bool(os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"))

    def describe(self) -> BlockingCall:
        """Name it by what of Django's was called."""
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
    """Anything else that waits. ``remedy`` is given the source of the expression, and says what to write instead."""

    sighting: Sighting
    operation: str
    remedy: Callable[[str], str]
    thread: Callable[[str], str]
    """Returns an expression done in a thread."""
    runs_unguarded = True

    def describe(self) -> BlockingCall:
        """Name it as the table does; in a template, its author cannot do what ``remedy`` says."""
        called = _identify(self.sighting)
        operation = Operation(name=self.operation, template=called.template)
        remedy = self.remedy
        if operation.template:
            remedy = functools.partial(suggest, operation)
        elif called.has_twin:
            remedy = functools.partial(suggest, called)
        return _describe(self.sighting, operation, remedy, self.thread)

    def begins_anew(self) -> bool:
        """Compare it with the last query, which may do I/O of its own, and with the last I/O."""
        entry = _entry_of(self.sighting)
        if entry in (_entries.query, _entries.io):
            return False
        _entries.io = entry
        _forget_soon()
        return True

    def refusal(self) -> None:
        """Let it through anywhere: no transaction knows of it."""


def _entry_of(sighting: Sighting) -> FrameType:
    return sighting.inner[0] if sighting.inner else sighting.user


def _forget_soon() -> None:
    # A frame keeps its variables alive: no longer than the loop's present callback.
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


def _identify(sighting: Sighting) -> Operation:
    return _or_default(functools.partial(identify, sighting.inner), Operation(name="database"))


def _or_default(func: Callable[[], T], default: T) -> T:
    """Frames hold objects of any kind, and any loader their source: what cannot be described blocks all the same."""
    try:
        return func()
    except Exception:
        logger.debug("A blocking call could not be described in full.", exc_info=True)
        return default
