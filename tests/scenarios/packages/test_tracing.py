"""Tracers of requests trace DAF's: each with its own user, errors and queries, and without pinning a connection."""

import pytest

from tests.scenarios.packages.running import run
from tests.scenarios.packages.traced import BROKEN_EVERY, REQUESTS

NUMBERS = {str(number) for number in range(1, REQUESTS + 1)}
BROKEN = {str(number) for number in range(BROKEN_EVERY, REQUESTS + 1, BROKEN_EVERY)}
NAMES = ["/broken/{number}", "/sync/{number}", "/view/{number}"]
pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(180)]


def assert_own_queries(queries):
    """Each request has the queries that it made, and no other's: three, or one before it broke."""
    assert queries.keys() == NUMBERS
    assert {number: found for number, found in queries.items() if set(found) != {number}} == {}
    assert {number for number, found in queries.items() if len(found) != 3} == BROKEN


@pytest.mark.parametrize("mode", ["auto", "session"])
def test_sentry_reports_each_error_with_the_right_request(own_database, mode):
    seen = run("sentry", own_database, mode=mode)

    assert {number for number, _ in seen["events"]} == BROKEN
    assert [each for each in seen["events"] if each[1] != [each[0]]] == []
    assert_own_queries(seen["queries"])
    assert seen["names"] == NAMES
    assert mode == "session" or seen["pinned"] == 0


@pytest.mark.parametrize("mode", ["auto", "session"])
def test_opentelemetry_has_a_span_for_each_request_and_its_queries_below(own_database, mode):
    seen = run("telemetry", own_database, mode=mode)

    assert set(seen["errors"]) == BROKEN
    assert {number: path for number, path in seen["paths"].items() if number != path} == {}
    assert_own_queries(seen["queries"])
    assert seen["names"] == [f"GET {name[1:].replace('{', '<int:').replace('}', '>')}" for name in NAMES]
    assert mode == "session" or seen["pinned"] == 0
