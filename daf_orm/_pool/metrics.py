"""The metrics of the process's pool: its statistics, read when they are collected, under Prometheus's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from daf_orm._pool.process_pool import current_pool
from daf_orm.metrics.registry import Family, Metric, Reading, register

if TYPE_CHECKING:
    from collections.abc import Iterator

METRICS: Final = {
    "pool_min": Metric(
        name="daf_pool_min_size", kind="gauge", unit="leases", help="Leases whose connections are kept while unused."
    ),
    "pool_max": Metric(
        name="daf_pool_max_size", kind="gauge", unit="leases", help="Leases at most, hence connections of each alias."
    ),
    "pool_size": Metric(name="daf_pool_size", kind="gauge", unit="leases", help="Leases that are lent or idle."),
    "pool_available": Metric(name="daf_pool_available", kind="gauge", unit="leases", help="Leases that are idle."),
    "requests_waiting": Metric(
        name="daf_pool_waiting", kind="gauge", unit="calls", help="Calls that wait for a lease now."
    ),
    "connections_pinned": Metric(
        name="daf_pool_pinned", kind="gauge", unit="leases", help="Leases that their owners keep for session state."
    ),
    "connections_open": Metric(
        name="daf_pool_connections", kind="gauge", unit="connections", help="Open connections, of all aliases."
    ),
    "requests_num": Metric(
        name="daf_pool_requests_total", kind="counter", unit="leases", help="Leases that were asked for."
    ),
    "requests_queued": Metric(
        name="daf_pool_queued_total", kind="counter", unit="calls", help="Calls that had to wait for a lease."
    ),
    "requests_wait_ms": Metric(
        name="daf_pool_wait_seconds_total",
        kind="counter",
        unit="seconds",
        help="Time that calls waited before they got a lease.",
    ),
    "requests_errors": Metric(
        name="daf_pool_errors_total",
        kind="counter",
        unit="calls",
        help="Calls that got no lease: PoolTimeout, TooManyRequests, PoolClosed, or cancelled while they waited.",
    ),
    "returns_cleaned": Metric(
        name="daf_pool_returns_cleaned_total",
        kind="counter",
        unit="leases",
        help="Returned leases whose session was reset, or whose connection was closed, because it was not as lent.",
    ),
    "returns_bad": Metric(
        name="daf_pool_returns_bad_total",
        kind="counter",
        unit="leases",
        help="Returned leases that had to be repaired: a transaction was open, or a reset failed.",
    ),
    "connections_lost": Metric(
        name="daf_pool_connections_lost_total",
        kind="counter",
        unit="connections",
        help="Connections that had died while they were idle.",
    ),
}
"""By key of ``get_stats()``."""


def _read() -> Iterator[Reading]:
    if (pool := current_pool()) is None:
        return
    stats = pool.get_stats()
    for key, metric in METRICS.items():
        yield Reading(metric, {(): stats[key] / 1000 if metric.unit == "seconds" else stats[key]})


register(Family(tuple(METRICS.values()), _read))
