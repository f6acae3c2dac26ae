"""The metrics of a process: ``path("metrics", metrics)`` for Prometheus, ``metrics_overview`` for staff."""

from daf_views.metrics.exposition import metrics
from daf_views.metrics.overview import metrics_overview

__all__ = ["metrics", "metrics_overview"]
