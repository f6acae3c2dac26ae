"""Makers of what a pool lends: sets of connections, and leases of them."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any

from daf_orm._core.places import Places
from daf_orm._django import bridges
from daf_orm._leases.connection_set import ConnectionSet
from daf_orm._leases.lease import Lease

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from daf_orm._leases.lease import Home

    _LeaseMaker = Callable[[ConnectionSet, asyncio.AbstractEventLoop | None], Lease]


def set_maker(
    max_lifetime: float, max_idle: float, configuration: Callable[[], Mapping[str, Any]] | None, *, server_pooled: bool
) -> Callable[[], ConnectionSet]:
    """Return a function that makes a set of connections, whose calls share the places of the others."""
    return functools.partial(
        ConnectionSet,
        max_lifetime=max_lifetime,
        max_idle=max_idle,
        configuration=configuration,
        server_pooled=server_pooled,
        places=Places(),
    )


def lease_maker(home: Home, *, runs_on_loop: bool) -> _LeaseMaker:
    """Return a function that makes a lease of a pool, which it refers to weakly: a pool is freed with its last use."""
    find_home = weakref.ref(home)
    if runs_on_loop:
        bridges.PATCHES.activate()

    def make(connections: ConnectionSet, loop: asyncio.AbstractEventLoop | None) -> Lease:
        return Lease(connections, connections.thread, loop, find_home(), runs_on_loop=runs_on_loop)

    return make
