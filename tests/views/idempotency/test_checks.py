"""E008: a view whose keys could not be kept."""

import pytest
from django.core.checks import run_checks
from django.urls import include, path

from daf_views import AsyncAPIView
from daf_views.idempotency import IdempotencyKey

pytestmark = pytest.mark.sqlite_memory  # no database has a part in it


class Free(AsyncAPIView):
    """Has none."""


class Keyed(AsyncAPIView):
    idempotency = IdempotencyKey()


class Cached(AsyncAPIView):
    idempotency = IdempotencyKey(store="cache")


FREE = path("free", Free.as_view())


def messages(settings, *patterns, **daf_views):
    settings.ROOT_URLCONF = (FREE, *patterns)
    settings.DAF_VIEWS = daf_views
    return [message for message in run_checks(tags=["daf_views"]) if message.id == "daf_views.E008"]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (path("keyed", Keyed.as_view()), "Keyed"),
        (path("", include([path("keyed", Keyed.as_view())])), "Keyed"),
        (path("given", Free.as_view(idempotency=IdempotencyKey())), "Free"),
    ],
)
def test_a_store_that_would_keep_nothing_is_an_error_where_a_view_uses_it(settings, pattern, name):
    [message] = messages(settings, pattern, IDEMPOTENCY_STORE="cache")
    assert "is local to each process" in message.msg
    assert message.msg.endswith(f"Views: {__name__}.{name}.")


def test_a_view_s_own_store_is_checked_too(settings):
    [message] = messages(settings, path("keyed", Keyed.as_view()), path("cached", Cached.as_view()))
    assert message.msg.endswith(f"Views: {__name__}.Cached.")


def test_it_is_fine_while_debugging(settings):
    settings.DEBUG = True
    assert messages(settings, path("cached", Cached.as_view())) == []


def test_without_such_views_there_is_nothing_to_say(settings):
    assert messages(settings, IDEMPOTENCY_STORE="cache") == []


def test_a_view_may_be_without(settings):
    without = path("without", Cached.as_view(idempotency=None))
    assert messages(settings, without) == []


def test_wrong_settings_are_another_check_s_business(settings):
    assert messages(settings, path("cached", Cached.as_view()), IDEMPOTENCY_STORE=1) == []
