"""The record of one request: its thread hops, its leases and waits, its pin, and its blocking calls.

Requests run at the same time. A context variable names the request of a blocking call or a hop, also in tasks and
threads that the request has started. Leases and waits are counted by the owner of the request.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from daf_orm._django.owners import owner_here
from daf_orm._execution.hop_counts import count_hops
from daf_orm.detection.guard import current_mode
from daf_orm.detection.recorders import add_recorder, remove_recorder

if TYPE_CHECKING:
    from contextvars import Token

    from daf_orm._core.blocking_call import BlockingCall, BlockingCallError

MAX_CALLS: Final = 100
"""Blocking calls of a request that are kept. All are counted."""
MAX_NAMES: Final = 50
"""Functions that hops are listed by, the most frequent first."""
MAX_SQL: Final = 2000
"""Characters of the statement that pinned."""

_current: ContextVar[RequestRecord | None] = ContextVar("daf_orm.debug_toolbar", default=None)


class RequestRecord:
    """Records from its making, in the context of the request, until :meth:`end`."""

    def __init__(self) -> None:
        self._owner = owner_here()
        self._leases, self._waited = self._owner.leases, self._owner.waited
        self._calls: list[dict[str, Any]] = []
        self._call_count = 0
        self._stack = ExitStack()
        self._hops = self._stack.enter_context(count_hops())
        self._token: Token[RequestRecord | None] = _current.set(self)
        add_recorder(self)

    def end(self) -> None:
        """Record no more. Idempotent."""
        with suppress(ValueError):  # a test run has replaced the recorders
            remove_recorder(self)
        self._stack.close()
        if _current.get() is self:
            with suppress(ValueError):  # in another context: the request was dropped
                _current.reset(self._token)

    def record(self, call: BlockingCall, error: BlockingCallError | None) -> None:
        """Keep a blocking call, if it is this request's. A recorder of the guard."""
        if _current.get() is not self:
            return
        self._call_count += 1
        if len(self._calls) < MAX_CALLS:
            shown = {"site": call.site, "expression": call.expression, "effect": call.effect}
            self._calls.append({**shown, "remedy": call.suggestion, "raised": error is not None})

    def as_dict(self) -> dict[str, Any]:
        """Return what was recorded, fit for JSON. Times are milliseconds."""
        owner = self._owner
        return {
            "mode": current_mode(),
            "hops": self._hops.total,
            "hops_by_name": self._hops.by_name.most_common(MAX_NAMES),
            "leases": owner.leases - self._leases,
            "waited_ms": round((owner.waited - self._waited) * 1000, 1),
            "is_pinned": owner.was_pinned,
            "pinned_at": owner.pinned_at,
            "pinned_by": "" if owner.pinned_by is None else str(owner.pinned_by)[:MAX_SQL],
            "blocking_calls": list(self._calls),
            "blocking_call_count": self._call_count,
        }
