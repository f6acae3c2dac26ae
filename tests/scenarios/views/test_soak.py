"""Requests by the thousand, cut off at random: nothing of them is left. ``make soak`` runs 100,000 of them."""

import json
import os

import pytest

from tests.support.processes import run_program

REQUESTS = int(os.environ.get("DAF_SOAK", "3000"))
TIMEOUT = 60 + REQUESTS // 50
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(TIMEOUT)]


def test_requests_cut_off_at_random_leave_nothing_behind():
    measured = json.loads(run_program(f"from tests.support import soak; soak.main({REQUESTS})", timeout=TIMEOUT))
    before, after, pool = measured["before"], measured["after"], measured["pool"]
    assert (after["tasks"], after["leases out"], after["waiting"], after["in flight"]) == (1, 0, 0, 0)
    assert after["threads"] <= before["threads"] + pool + (os.cpu_count() or 1) + 4  # asyncio's own
    assert after["descriptors"] <= before["descriptors"] + pool
    assert after["objects"] < before["objects"] + 2000, (before, after)
    assert after["memory"] <= before["memory"] + 32, (before, after)
    assert measured["rows"] == 0
    assert measured["statuses"]["200"] > REQUESTS / 3, measured["statuses"]  # the others were cut off, or not found
    assert measured["statuses"].keys() <= {"0", "200", "404"}
