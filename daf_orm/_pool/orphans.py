"""Orphans: leases of event loops that were closed without ending their tasks."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from daf_orm._django import hops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from daf_orm._leases.lease import Lease

logger = logging.getLogger("daf_orm")


def reclaim(
    orphans: Iterable[Lease], finish: Callable[[Lease], None], submit: Callable[[Callable[[], None], Lease], None]
) -> None:
    """End leases that are orphans, each with ``finish`` on a thread that ``submit`` finds for it."""
    for lease in orphans:
        if lease.running is not None:  # a call on the event loop; a thread's call ends in its thread
            lease.running()
        if lease.scopes:
            logger.error("The event loop that held a lease for %s is closed; its work is rolled back.", lease.origin)
        end = functools.partial(_end, lease, finish)
        lease.turn.when_free(functools.partial(submit, end, lease))


def _end(lease: Lease, finish: Callable[[Lease], None]) -> None:
    for scope in tuple(lease.scopes):
        scope.leave_share()
        lease.leave_gate(scope)
    lease.scopes.clear()
    if lease.owner is not None:
        lease.owner.end()
    hops.run_on_lease(lease, lambda: finish(lease))
    lease.turn.release()
