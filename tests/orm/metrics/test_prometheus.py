"""The metrics in a registry of prometheus-client."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from daf_orm.metrics import Computed, Counter, collect
from daf_orm.metrics.prometheus import DAFCollector
from daf_orm.metrics.text import exposition

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]


def samples(text):
    return [
        (family.name, family.type, family.documentation, sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def test_its_own_exposition_says_the_same_as_ours():
    registry = CollectorRegistry()
    registry.register(DAFCollector())
    calls = Counter("calls_total", "Calls.", unit="calls", labels=("view", "outcome"))
    Computed("waiting", "Calls that wait.", kind="gauge", unit="calls", read=lambda: 2.5)
    calls.add('"quoted"\\', "ok")
    calls.add("b", "bad", amount=3)
    theirs = samples(generate_latest(registry).decode())
    assert theirs == samples(exposition(collect()))
    assert len(theirs) == 3


def test_registering_it_reads_nothing():
    Computed("waiting", "Calls that wait.", kind="gauge", unit="calls", read=lambda: 1 / 0)
    CollectorRegistry().register(DAFCollector())
