"""The metrics as instruments of OpenTelemetry, read by its SDK."""

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader, Sum

from daf_orm.metrics import Computed, Counter
from daf_orm.metrics.opentelemetry import instrument

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]


def read(reader):
    data = reader.get_metrics_data()
    return {metric.name: metric for each in data.resource_metrics[0].scope_metrics for metric in each.metrics}


def points(metric):
    return {tuple(point.attributes.items()): point.value for point in metric.data.data_points}


def test_it_reads_the_metrics_registered_before_and_after():
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    calls = Counter("calls_total", "Calls.", unit="calls", labels=("view",))
    instrument(provider)
    Computed("wait_seconds_total", "Time.", kind="counter", unit="seconds", read=lambda: 1.5)
    Computed("waiting", "Calls that wait.", kind="gauge", unit="calls", read=lambda: 4)
    calls.add("a")
    calls.add("b", amount=2)
    found = read(reader)
    assert points(found["calls"]) == {(("view", "a"),): 1, (("view", "b"),): 2}
    assert (found["calls"].unit, found["calls"].description) == ("{calls}", "Calls.")
    assert isinstance(found["calls"].data, Sum)
    assert found["calls"].data.is_monotonic
    assert (points(found["wait_seconds"]), found["wait_seconds"].unit) == ({(): 1.5}, "s")
    assert isinstance(found["waiting"].data, Gauge)
    assert points(found["waiting"]) == {(): 4}
    calls.add("a")
    assert points(read(reader)["calls"])[("view", "a"),] == 2
    provider.shutdown()
