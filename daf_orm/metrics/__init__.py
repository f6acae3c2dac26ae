"""The metrics of this process, from one registry: the pool, stalls, and what other packages add to it.

``collect()`` reads them; :mod:`daf_orm.metrics.text` writes them for Prometheus. :mod:`daf_orm.metrics.prometheus`
and :mod:`daf_orm.metrics.opentelemetry` pass them on to these packages, where they are installed.
"""

from daf_orm.metrics.registry import (
    Computed,
    Counter,
    Family,
    Kind,
    Metric,
    Reading,
    Underway,
    collect,
    follow,
    register,
)

__all__ = ["Computed", "Counter", "Family", "Kind", "Metric", "Reading", "Underway", "collect", "follow", "register"]
