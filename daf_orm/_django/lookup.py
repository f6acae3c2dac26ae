"""Find the lease that the running code's connections are on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from django.db import InterfaceError

from daf_orm._core.tasks import current_task, describe_task
from daf_orm._django.hops import current_hop, on_event_loop
from daf_orm._django.shared_connections import shared_connection, test_connections
from daf_orm._django.sync_parents import PARENT_LEASE
from daf_orm._leases import guest as guest_module
from daf_orm._leases.scope import innermost_scope, is_innermost

if TYPE_CHECKING:
    from daf_orm._django.hops import Hop
    from daf_orm._leases.guest import Guest
    from daf_orm._leases.lease import Lease

_ELSEWHERE = (
    "Connection {alias!r} of {owner} was used outside its calls, or in those of another owner. Take "
    "django.db.connection where you query, and keep no connection for later."
)


def borrows(hop: Hop) -> bool:
    """Return True if code in a hop without a lease has its owner's wrapper. A sync parent's code has its own."""
    return not (test_connections or hop.outermost.serves_parent or on_event_loop())


def lease_here(alias: str, hop: Hop) -> Lease | None:
    """Return the lease whose connection ``alias`` means in the code that is running; None for the thread's own."""
    if on_event_loop():
        return None
    lease = hop.lease
    if lease is not None and lease.connections is not None:
        if lease.blocks and ((block := lease.blocks.get(alias)) is None or not is_innermost(block)):
            _check(lease, alias, hop)
        return lease
    return _lease_around(alias, hop)


def _lease_around(alias: str, hop: Hop) -> Lease | None:
    """Return the lease of the context, of a hop around this one, or of its owner."""
    while hop.lease is None and (scope := innermost_scope()) is not None:
        hop.join(scope.lease)
    lease: Lease | None = None
    inner: Hop | None = hop
    while inner is not None:
        if (found := inner.lease) is not None:
            if found.blocks:
                _check(found, alias, hop)
            if found.connections is not None:
                lease = found
                break
        inner = inner.outer
    if lease is None:
        lease = _note_own_use(hop, alias)
    return lease


def _check(lease: Lease, alias: str, hop: Hop) -> None:
    scope = innermost_scope()
    if scope is None or lease.blocks.get(alias) is not scope:
        lease.check(alias, scope, describe_task(hop.task or current_task()))


def _note_own_use(hop: Hop, alias: str) -> Lease | None:
    """Return the lease that the owner keeps, or that of a memory database, if no lease is in use."""
    parent: Lease | None = getattr(threading.current_thread(), PARENT_LEASE, None)
    if parent is not None and parent.blocks:
        _check(parent, alias, hop)
    if borrows(hop) and (hop.outermost.owner.pinned is not None or shared_connection(alias) is not None):
        return hop.outermost.borrow()
    return None


def attach_here(guest: Guest) -> None:
    """Give a wrapper the connection of the call that uses it. A hop without a lease takes one for it."""
    hop = current_hop()
    if hop is None or on_event_loop() or hop.outermost.serves_parent:
        raise InterfaceError(_ELSEWHERE.format(alias=guest.alias, owner=guest.owner.name))
    lease = lease_here(guest.alias, hop) or hop.outermost.borrow()
    if lease.owner is not guest.owner:
        raise InterfaceError(_ELSEWHERE.format(alias=guest.alias, owner=guest.owner.name))
    lease.attach(guest)


def is_running_here(lease: Lease) -> bool:
    """Return True if this code is part of a call on a lease."""
    hop = current_hop()
    while hop is not None and hop.lease is not lease:
        hop = hop.outer
    return hop is not None


guest_module.attach_here = attach_here
guest_module.is_running_here = is_running_here
