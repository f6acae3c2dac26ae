"""The text for Prometheus, read by Prometheus's own parser."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from daf_orm.metrics import Computed, Counter, collect
from daf_orm.metrics.text import exposition

pytestmark = [pytest.mark.no_database, pytest.mark.sqlite_memory]
HOSTILE = 'a"b\\c\nd{e="f"} 1\n# HELP x'


def parsed(text):
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_it_is_what_was_counted():
    calls = Counter("calls_total", "Calls, by view.", unit="calls", labels=("view",))
    calls.add("a")
    calls.add("b", amount=2)
    Computed("waiting", "Calls that wait.", kind="gauge", unit="calls", read=lambda: 3)
    assert exposition(collect()) == (
        "# HELP calls_total Calls, by view.\n"
        "# TYPE calls_total counter\n"
        'calls_total{view="a"} 1\n'
        'calls_total{view="b"} 2\n'
        "# HELP waiting Calls that wait.\n"
        "# TYPE waiting gauge\n"
        "waiting 3\n"
    )


def test_values_of_labels_and_help_are_escaped():
    Counter("calls_total", f"Calls {HOSTILE}", unit="calls", labels=("view",)).add(HOSTILE)
    text = exposition(collect())
    assert text.count("\n") == 3
    (sample,) = parsed(text)["calls"].samples
    assert (sample.labels, sample.value) == ({"view": HOSTILE}, 1)


@pytest.mark.parametrize("number", [0, 0.1, 1e300, math.inf, -math.inf, math.nan])
def test_any_number_is_read_back(number):
    Computed("now", "Now.", kind="gauge", unit="things", read=lambda: number)
    (sample,) = parsed(exposition(collect()))["now"].samples
    assert sample.value == number or math.isnan(number) == math.isnan(sample.value) is True


def test_a_metric_without_a_series_is_left_out():
    Counter("calls_total", "Calls.", unit="calls", labels=("view",))
    assert exposition(collect()) == ""
