"""Packages that keep something on connections, in threads or in the database's session: each request has its own.

``DAF_PACKAGES=1000`` sends that many requests at once.
"""

import pytest

from tests.scenarios.packages.running import run
from tests.scenarios.packages.traced import BROKEN_EVERY, REQUESTS

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(180)]
IN_BOTH_MODES = [{"mode": "auto"}, {"mode": "session"}]


@pytest.mark.parametrize("how", [*IN_BOTH_MODES, {"handler": "django"}, {"middleware": "sync"}], ids=str)
def test_debug_toolbar_shows_each_request_its_own_queries_and_pins_nothing(own_database, how):
    seen = run("toolbar", own_database, **how)

    queries = {int(number): found for number, found in seen["queries"].items()}
    assert queries == {number: [str(number)] * (3 if number % BROKEN_EVERY else 1) for number in range(1, REQUESTS + 1)}
    assert how == {"mode": "session"} or seen["pinned"] == 0


@pytest.mark.parametrize("how", [*IN_BOTH_MODES, {"handler": "django"}], ids=str)
def test_cachalot_caches_nothing_that_is_not_committed_and_pins_nothing(own_database, how):
    seen = run("cached", own_database, **how)

    assert seen["wrong"] == []
    caches_rows = seen["cached"] > 10  # beside the times of changes to a few tables
    assert caches_rows == (own_database["ENGINE"] == "django.db.backends.postgresql")  # it knows no other
    assert how == {"mode": "session"} or seen["pinned"] == 0


@pytest.mark.parametrize("how", [*IN_BOTH_MODES, {"way": "context"}], ids=str)
def test_pghistory_keeps_each_change_with_its_own_request(own_database, how):
    """Its triggers pin: DAF does not know what they do."""
    seen = run("history", own_database, **how)

    assert (seen["requests"], seen["wrong"]) == (REQUESTS, [])
    assert seen["pinned"] > 0


@pytest.mark.parametrize("mode", ["auto", "session"])
@pytest.mark.parametrize("way", ["sync", "async"])
def test_row_level_security_shows_each_request_its_own_rows(own_database, way, mode):
    seen = run("row_security", own_database, way=way, mode=mode)

    assert seen["answers"] == {"right": REQUESTS}
    assert seen["pinned"] > 0


def test_row_level_security_under_djangos_handler(own_database):
    assert run("row_security", own_database, handler="django")["answers"] == {"right": REQUESTS}


def test_row_level_security_by_configure_pins_nothing(own_database):
    assert run("row_security", own_database, way="configure") == {"pinned": 0, "answers": {"right": REQUESTS}}
