"""Send recorded calls to the innermost ``record_blocking()`` block, else to every recorder, else to the log."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from daf_orm.metrics.registry import Counter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daf_orm._core.blocking_call import BlockingCall, BlockingCallError


class Recorder(Protocol):
    """A receiver of every call: the test plugin, the log."""

    def record(self, call: BlockingCall, error: BlockingCallError | None) -> None:
        """Record a call; ``error`` is the exception about to be raised for it, if any."""


class CallList:
    """A recorder that keeps the calls, and the errors raised for them."""

    def __init__(self) -> None:
        self.calls: list[BlockingCall] = []
        self._errors: dict[int, BlockingCallError | None] = {}

    def record(self, call: BlockingCall, error: BlockingCallError | None) -> None:
        """Keep the call."""
        self.calls.append(call)
        self._errors[id(call)] = error

    def take(self) -> list[tuple[BlockingCall, BlockingCallError | None]]:
        """Return the recorded calls, without those removed from ``calls`` meanwhile, and forget them."""
        taken = [(call, self._errors[id(call)]) for call in self.calls]
        self.calls.clear()
        self._errors.clear()
        return taken


_calls = Counter(
    "daf_blocking_calls_total",
    "Blocking calls on an event loop that the guard has refused (raised) or let through (ran).",
    unit="calls",
    labels=("outcome",),
)
_recorders: list[Recorder] = []
_block: ContextVar[list[BlockingCall] | None] = ContextVar("daf_orm.recorded", default=None)


def add_recorder(recorder: Recorder) -> None:
    """Pass every call to a recorder from now on."""
    _recorders.append(recorder)


def remove_recorder(recorder: Recorder) -> None:
    """Undo :func:`add_recorder`."""
    _recorders.remove(recorder)


def set_recorders(recorders: list[Recorder]) -> list[Recorder]:
    """Pass every call to these recorders only; return the recorders before."""
    before = _recorders.copy()
    _recorders[:] = recorders
    return before


def record(call: BlockingCall, error: BlockingCallError | None) -> None:
    """Pass a call to the recorders, and count it."""
    _calls.add("ran" if error is None else "raised")
    for recorder in tuple(_recorders):
        recorder.record(call, error)


@contextmanager
def record_blocking() -> Iterator[list[BlockingCall]]:
    """Collect the blocking calls of the block in a list, instead of raising: they run, and block.

    ``with record_blocking() as calls:``. Tasks started in the block count too. Calls collected here are reported
    nowhere else.
    """
    calls: list[BlockingCall] = []
    token = _block.set(calls)
    try:
        yield calls
    finally:
        _block.reset(token)


def current_block() -> list[BlockingCall] | None:
    """Return the list of the innermost :func:`record_blocking` block that this context is in."""
    return _block.get()
