"""E004 and E005: throttles that could not count, or that count in each process separately."""

import re

import pytest
from django.core.checks import run_checks
from django.urls import include, path
from django.utils.decorators import method_decorator

from daf_views import AsyncAPIView, AsyncView
from daf_views.throttling import AsyncRateThrottle
from daf_views.throttling.backends import BACKENDS, get_backend
from daf_views.throttling.backends.memory import MemoryBackend


class Throttled(AsyncAPIView):
    throttles = (AsyncRateThrottle("1/s"),)


class Free(AsyncAPIView):
    """Has none."""


class OnItsOwn(AsyncAPIView):
    throttle = AsyncRateThrottle("1/s", backend=MemoryBackend())


@AsyncRateThrottle("1/s")
async def decorated(request):
    """A function."""


@AsyncRateThrottle("1/s", backend=MemoryBackend())
@AsyncRateThrottle("1/s")
async def twice(request):
    """The outer one has an explicit backend."""


class DecoratedHandler(AsyncView):
    @method_decorator(AsyncRateThrottle("1/s"))
    async def get(self, request):
        """A handler."""


@method_decorator(AsyncRateThrottle("1/s"), name="dispatch")
class DecoratedDispatch(AsyncView):
    """All handlers."""


FREE = [path("free", Free.as_view()), path("own", OnItsOwn.as_view())]
PATHS = {"/": "1/s"}
MIDDLEWARE = "daf_views.throttling.throttle_middleware"


def messages(settings, patterns, middleware=(MIDDLEWARE,), **daf_views):
    settings.MIDDLEWARE = list(middleware)
    settings.ROOT_URLCONF = tuple(patterns)
    settings.DAF_VIEWS = daf_views
    return [message for message in run_checks(tags=["daf_views"]) if message.id in {"daf_views.E004", "daf_views.E005"}]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        (path("class", Throttled.as_view()), "Throttled"),
        (path("", include([path("class", Throttled.as_view())])), "Throttled"),
        (path("given", Free.as_view(throttle=AsyncRateThrottle("1/s"))), "Free"),
        (path("decorated", decorated), "decorated"),
        (path("twice", twice), "twice"),
        (path("handler", DecoratedHandler.as_view()), "DecoratedHandler"),
        (path("dispatch", DecoratedDispatch.as_view()), "DecoratedDispatch"),
    ],
)
def test_a_view_that_each_process_would_count_separately_is_an_error(settings, pattern, name):
    [message] = messages(settings, [*FREE, pattern])
    assert message.id == "daf_views.E005"
    assert message.msg.endswith(f"Throttled: {__name__}.{name}.")
    assert "THROTTLE_PER_PROCESS" in message.hint


def test_a_path_that_each_process_would_count_separately_is_an_error(settings):
    [message] = messages(settings, FREE, THROTTLED_PATHS=PATHS)
    assert message.msg.endswith("Throttled: /.")


@pytest.mark.parametrize("middleware", [[], ["django.middleware.common.CommonMiddleware"], ["no.such.thing"]])
def test_paths_that_no_middleware_reads_are_an_error(settings, middleware):
    [message] = messages(settings, FREE, middleware, THROTTLED_PATHS=PATHS)
    assert (message.id, message.hint) == ("daf_views.E004", f"Add '{MIDDLEWARE}' to MIDDLEWARE.")


def test_it_may_be_meant(settings):
    assert messages(settings, FREE, THROTTLED_PATHS=PATHS, THROTTLE_PER_PROCESS=True) == []


def test_it_does_while_debugging(settings):
    settings.DEBUG = True
    assert messages(settings, FREE, THROTTLED_PATHS=PATHS) == []


def test_without_throttles_there_is_nothing_to_say(settings):
    assert messages(settings, FREE) == []


def test_a_shared_backend_is_silent(settings):
    assert messages(settings, FREE, THROTTLED_PATHS=PATHS, THROTTLE_BACKEND="database") == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"THROTTLE_BACKEND": "reddis"}, f"'reddis', which cannot be imported.*Ours are {', '.join(sorted(BACKENDS))}"),
        ({"THROTTLE_BACKEND": "django.http.HttpResponse"}, "which is no Backend"),
        ({"THROTTLE_BACKEND": "redis"}, "must be the URL of a Redis server"),
        ({"THROTTLE_BACKEND": "redis", "THROTTLE_LOCATION": "here"}, "not the URL of a Redis server"),
        (
            {"THROTTLE_BACKEND": "redis", "THROTTLE_LOCATION": "redis://localhost?bogus=1"},
            "not the URL of a Redis server",
        ),
        ({"THROTTLE_BACKEND": "cache"}, "locmem.LocMemCache.*drops live entries"),
        ({"THROTTLE_BACKEND": "cache", "THROTTLE_LOCATION": "database"}, "no atomic operations"),
        ({"THROTTLE_BACKEND": "database", "THROTTLE_LOCATION": "nowhere"}, "there is no database 'nowhere'"),
        ({"THROTTLED_PATHS": {"/": "often"}}, "No module|doesn't look like a module path"),
    ],
)
def test_a_backend_that_could_not_count_is_an_error(settings, given, reason):
    [message] = messages(settings, FREE, **given)
    assert message.id == "daf_views.E004"
    assert re.search(reason, message.msg)


def test_a_process_that_counts_separately_logs_it_once(settings, caplog):
    settings.DAF_VIEWS = {}
    assert get_backend() is get_backend()
    assert caplog.text.count("see the check daf_views.E005") == 1


def test_the_settings_change_the_backend(settings):
    settings.DAF_VIEWS = {"THROTTLE_MAX_KEYS": 7}
    assert get_backend()._max_keys == 7
    settings.DAF_VIEWS = {"THROTTLE_MAX_KEYS": 8}
    assert get_backend()._max_keys == 8
