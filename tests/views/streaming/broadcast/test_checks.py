"""E024 and W005: a backend that cannot carry broadcasts, or carries them within each process only."""

import pytest
from django.core.checks import run_checks
from django.db import connection

from daf_views.streaming import Channel

WARNING = "Broadcasts stay within each process"


@pytest.fixture(autouse=True)
def orders():
    return Channel("check:orders")


def messages(settings, **daf_views):
    settings.DAF_VIEWS = daf_views
    return {
        message.id: message.msg
        for message in run_checks(tags=["daf_views"])
        if message.id in {"daf_views.E024", "daf_views.W005"}
    }


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"BROADCAST_BACKEND": "redis"}, "must be the URL"),
        ({"BROADCAST_BACKEND": "redis", "BROADCAST_LOCATION": "http://user:secret@host"}, "is not the URL"),
        ({"BROADCAST_BACKEND": "kafka"}, "Ours are memory, postgresql, redis"),
        ({"BROADCAST_BACKEND": "builtins.dict"}, "which is no Backend"),
        ({"BROADCAST_BACKEND": "postgresql", "BROADCAST_LOCATION": "nowhere"}, "there is no database 'nowhere'"),
    ],
)
def test_a_backend_that_cannot_be(settings, named, said):
    found = messages(settings, **named)
    assert said in found["daf_views.E024"]
    assert "secret" not in found["daf_views.E024"]


@pytest.mark.sqlite
def test_postgresql_is_another_database(settings):
    assert "the database 'default' is not" in messages(settings, BROADCAST_BACKEND="postgresql")["daf_views.E024"]


@pytest.mark.postgresql
def test_postgresql(settings):
    assert connection.vendor == "postgresql"
    assert messages(settings, BROADCAST_BACKEND="postgresql") == {}
    long = messages(settings, BROADCAST_BACKEND="postgresql", BROADCAST_PREFIX="a" * 64)
    assert "1 to 63 bytes" in long["daf_views.E024"]
    settings.DAF_ORM = {"SERVER_POOLED": True}
    assert "SERVER_POOLED" in messages(settings, BROADCAST_BACKEND="postgresql")["daf_views.E024"]


def test_memory_is_warned_of_where_there_are_channels_unless_it_is_intended(settings):
    found = messages(settings)
    assert WARNING in found["daf_views.W005"]
    assert messages(settings, BROADCAST_PER_PROCESS=True) == {}
    settings.DEBUG = True
    assert messages(settings) == {}
