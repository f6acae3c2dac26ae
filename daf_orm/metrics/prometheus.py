"""The metrics in a registry of ``prometheus-client``: ``REGISTRY.register(DAFCollector())``.

The package is optional: ``pip install "django-daf[prometheus]"``. Source: its custom collectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from daf_orm.metrics.registry import collect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from daf_orm.metrics.registry import Reading

__all__ = ["DAFCollector"]


class DAFCollector(Collector):
    """Reads the metrics of this process whenever its registry is collected, from any thread."""

    def collect(self) -> Iterable[Metric]:
        """Yield a family for each metric that has a series."""
        return [_family(reading) for reading in collect() if reading.series]

    def describe(self) -> Iterable[Metric]:
        """Return nothing: which metrics there are, only a collection shows."""
        return []


def _family(reading: Reading) -> Metric:
    metric = reading.metric
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = kind(metric.name, metric.help, labels=metric.labels)
    for values, number in sorted(reading.series.items()):
        family.add_metric(values, number)
    return family
