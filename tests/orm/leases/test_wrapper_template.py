"""Wrappers made without ``__init__``: nothing on one is another's, whatever its connection has been through."""

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from daf_orm import database_sync_to_async
from daf_orm._leases import session
from tests.orm.leases.test_owners import in_a_request
from tests.orm.leases.test_session import run_sql

HELPERS = ("client", "creation", "features", "introspection", "ops", "validation")
pytestmark = [pytest.mark.usefixtures("many_connections"), pytest.mark.django_db(transaction=True)]


async def in_requests(*functions):
    """Call each function in a new request, one after the other, on the same connection."""
    return [(await in_a_request(lambda call=call: database_sync_to_async(call)()))[0] for call in functions]


def of_others():
    """Return the names of what a request's wrapper has from another wrapper."""
    run_sql("SELECT 1")
    wrapper = connections["default"]
    return [
        *(name for name in HELPERS if getattr(wrapper, name).connection is not wrapper),
        *(["wrap_database_errors"] if wrapper.wrap_database_errors.wrapper is not wrapper else []),
    ]


def connect_again():
    run_sql("SELECT 1")
    connection.close()
    run_sql("SELECT 1")


def has_noted_an_error():
    with pytest.raises(Exception, match="nonsense"):
        run_sql("SELECT nonsense")
    return connection.errors_occurred


def level():
    run_sql("SELECT 1")
    return connection.isolation_level


def time_zone():
    run_sql("SELECT 1")
    return connection.timezone_name


def mark():
    run_sql("SELECT 1")
    return getattr(connections["default"], "mark", None)


@pytest.mark.skipif(settings.DATABASES["default"]["NAME"] == ":memory:", reason="one connection, which all borrow")
async def test_no_helper_is_another_wrappers_also_after_a_reconnection():
    found = await in_requests(of_others, of_others, connect_again, of_others, of_others, connect_again, of_others)

    assert [each for each in found if each is not None] == [[]] * 5


@pytest.mark.skipif(settings.DATABASES["default"]["NAME"] == ":memory:", reason="one connection, which all borrow")
async def test_each_owners_wrapper_notes_its_own_errors():
    assert await in_requests(has_noted_an_error, has_noted_an_error, has_noted_an_error) == [True] * 3


@pytest.mark.postgresql
async def test_the_isolation_level_is_there_after_a_reconnection():
    first, _, _, last = await in_requests(level, level, connect_again, level)

    assert first is last is not None


@pytest.mark.postgresql
async def test_a_time_zone_that_an_owner_sets_on_its_wrapper_is_not_the_next_owners():
    def change_time_zone():
        run_sql("SELECT 1")
        connection.timezone_name = "Asia/Tokyo"

    assert await in_requests(time_zone, change_time_zone, time_zone) == ["UTC", None, "UTC"]


@pytest.mark.postgresql
async def test_the_time_zone_follows_the_settings():
    with override_settings(USE_TZ=False, TIME_ZONE="Europe/Paris"):
        assert await in_requests(time_zone, time_zone) == ["Europe/Paris"] * 2
    with override_settings(USE_TZ=False, TIME_ZONE="Asia/Tokyo"):
        assert await in_requests(time_zone, connect_again, time_zone) == ["Asia/Tokyo", None, "Asia/Tokyo"]
    assert await in_requests(time_zone, time_zone) == ["UTC"] * 2


@pytest.mark.skipif(settings.DATABASES["default"]["NAME"] == ":memory:", reason="one connection, which all borrow")
async def test_an_init_that_is_patched_later_runs(monkeypatch):
    initialize = BaseDatabaseWrapper.__init__

    def marking(self, *args, **kwargs):
        initialize(self, *args, **kwargs)
        self.mark = 5

    assert await in_requests(mark, mark) == [None, None]
    monkeypatch.setattr(BaseDatabaseWrapper, "__init__", marking)
    assert await in_requests(mark, mark) == [5, 5]


async def test_a_backend_without_a_template_makes_one_wrapper_for_each_request(monkeypatch, pool_with):
    made, init = [], BaseDatabaseWrapper.__init__

    def counted(self, *args, **kwargs):
        made.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(BaseDatabaseWrapper, "__init__", counted)
    pool_with(MAX_SIZE=1)
    await in_requests(mark, mark)
    asked = []
    monkeypatch.setattr(session, "template_of", lambda *_: asked.append(1))
    before = len(made)
    await in_requests(mark, mark, mark)

    assert (len(made) - before, asked) == (3, [])
