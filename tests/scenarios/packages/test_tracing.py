"""What traces requests traces ours: each with its own user, errors and queries, and without pinning a connection."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.packages.traced import BROKEN_EVERY, REQUESTS

ROOT = Path(__file__).parents[3]
NUMBERS = {str(number) for number in range(1, REQUESTS + 1)}
BROKEN = {str(number) for number in range(BROKEN_EVERY, REQUESTS + 1, BROKEN_EVERY)}
NAMES = ["/broken/{number}", "/sync/{number}", "/view/{number}"]
pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(180)]


def run(program, database):
    done = subprocess.run(
        [sys.executable, "-m", f"tests.scenarios.packages.{program}"],
        cwd=ROOT,
        env=os.environ | {"TRACED_DATABASE": json.dumps(database | {"ENGINE": "django.db.backends.postgresql"})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_own_queries(queries):
    """Each request has the queries that it made, and no other's: three, or one before it broke."""
    assert queries.keys() == NUMBERS
    assert {number: found for number, found in queries.items() if set(found) != {number}} == {}
    assert {number for number, found in queries.items() if len(found) != 3} == BROKEN


def test_sentry_tells_each_error_of_its_own_request(own_database):
    seen = run("sentry", own_database)

    assert {number for number, _ in seen["events"]} == BROKEN
    assert [each for each in seen["events"] if each[1] != [each[0]]] == []
    assert_own_queries(seen["queries"])
    assert seen["names"] == NAMES
    assert seen["pinned"] == 0


def test_opentelemetry_has_a_span_for_each_request_and_its_queries_below(own_database):
    seen = run("telemetry", own_database)

    assert set(seen["errors"]) == BROKEN
    assert {number: path for number, path in seen["paths"].items() if number != path} == {}
    assert_own_queries(seen["queries"])
    assert seen["names"] == [f"GET {name[1:].replace('{', '<int:').replace('}', '>')}" for name in NAMES]
    assert seen["pinned"] == 0
