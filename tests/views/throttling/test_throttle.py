"""Throttles where people put them: on views, on functions, by path."""

import asyncio
import functools
import json

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import ProgrammingError
from django.http import HttpResponse
from django.test import AsyncRequestFactory
from django.urls import path
from django.utils.decorators import method_decorator

from daf_views import AsyncAPIView, AsyncView
from daf_views.asgi import get_asgi_application
from daf_views.exceptions import ThrottleBackendError
from daf_views.middleware import thread_free
from daf_views.throttling import AsyncRateThrottle
from daf_views.throttling.backends import Backend, get_backend
from daf_views.throttling.backends.memory import MemoryBackend
from daf_views.throttling.middleware import is_below
from tests.support.connection import Connection
from tests.support.exchange import exchange


class Burst(AsyncRateThrottle):
    rate = "2/minute"


class ByClass(AsyncAPIView):
    throttle = Burst

    async def get(self, request):
        return self.success("hello")

    async def post(self, request):
        return self.success(request.data, status=201)


class ByInstances(AsyncAPIView):
    throttles = (AsyncRateThrottle(["3/second", "5/hour"]), AsyncRateThrottle("9/day", scope="daily"))

    async def get(self, request):
        return self.success("hello")


@AsyncRateThrottle("2/minute")
async def decorated(request):
    return HttpResponse(request.body)


@AsyncRateThrottle("2/minute")
async def decorated_too(request):
    return HttpResponse("hello")


@method_decorator(AsyncRateThrottle("2/minute"), name="dispatch")
class DecoratedDispatch(AsyncView):
    async def get(self, request):
        return HttpResponse("hello")


class DecoratedHandlers(AsyncView):
    @method_decorator(AsyncRateThrottle("2/minute"))
    async def get(self, request):
        return HttpResponse("hello")

    @method_decorator(AsyncRateThrottle("2/minute"))
    async def post(self, request):
        return HttpResponse("hello")


class WithAdmit(AsyncAPIView):
    throttle = AsyncRateThrottle("2/minute")

    async def admit(self, request):
        """An own key, which needs no I/O."""

    async def get(self, request):
        return self.success("hello")


def reads_form(view):
    @functools.wraps(view)
    async def wrapper(request, *args, **kwargs):
        request.POST.get("anything")
        return await view(request, *args, **kwargs)

    return wrapper


@reads_form
@AsyncRateThrottle("9/minute")
async def read_before(request):
    return HttpResponse("hello")


async def plain(request):
    return HttpResponse("hello")


async def refused(request):
    """Decorated below, with a backend that fails."""
    return HttpResponse("hello")


class Failing(Backend):
    async def run(self, key, operation, *, timeout):  # noqa: ASYNC109 - a backend's
        raise ThrottleBackendError("SECRET is broken")


shared = [AsyncRateThrottle("2/minute", scope="shared")(view) for view in (plain, refused)]
urlpatterns = [
    path("class", ByClass.as_view()),
    path("instances", ByInstances.as_view()),
    path("decorated", decorated),
    path("decorated-too", decorated_too),
    path("dispatch", DecoratedDispatch.as_view()),
    path("around", AsyncRateThrottle("2/minute")(ByClass.as_view(throttle=None))),
    path("shared/1", shared[0]),
    path("shared/2", shared[1]),
    path("open", AsyncRateThrottle("2/minute", backend=Failing(), fail_open=True)(plain)),
    path("closed", AsyncRateThrottle("2/minute", backend=Failing(), fail_open=False)(plain)),
    path("handlers", DecoratedHandlers.as_view()),
    path("admit", WithAdmit.as_view()),
    path("read-before", read_before),
    path("plain", plain),
    path("plain/below", plain),
    path("plainer", plain),
]


@pytest.fixture(autouse=True)
def fresh_counts(settings, monkeypatch, clock):
    """For which time stands still."""
    monkeypatch.setitem(MemoryBackend.__init__.__kwdefaults__, "clock", clock)
    settings.MIDDLEWARE = []
    get_backend.cache_clear()
    yield
    get_backend.cache_clear()


@pytest.fixture
def application():
    return get_asgi_application()


async def statuses(application, target, times=3):
    return [(await exchange(application, path=target)).status for _ in range(times)]


@pytest.mark.parametrize("target", ["/class", "/decorated", "/dispatch", "/around"])
async def test_one_too_many_is_answered_429(application, target):
    assert await statuses(application, target) == [200, 200, 429]


async def test_a_hook_that_is_overridden_leaves_no_throttle_out(application):
    assert await statuses(application, "/admit") == [200, 200, 429]


async def test_each_handler_that_is_decorated_has_a_separate_limit(application):
    assert await statuses(application, "/handlers") == [200, 200, 429]
    answers = [await exchange(application, path="/handlers", method="POST") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]


async def test_a_decorator_around_a_throttle_may_look_at_the_body(application):
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    answer = await exchange(application, path="/read-before", method="POST", body=b"a=b", headers=headers)
    assert answer.status == 200


async def test_each_view_has_a_separate_limit(application):
    assert await statuses(application, "/decorated") == await statuses(application, "/decorated-too") == [200, 200, 429]


async def test_views_share_the_limit_of_a_scope(application):
    assert await statuses(application, "/shared/1", 1) == await statuses(application, "/shared/2", 1) == [200]
    assert await statuses(application, "/shared/1", 1) == await statuses(application, "/shared/2", 1) == [429]


async def test_the_answer_is_a_problem_with_the_fields_of_the_draft(application):
    await statuses(application, "/class", 2)
    answer = await exchange(application, path="/class")
    assert answer.header("content-type") == "application/problem+json"
    assert json.loads(answer.body) == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Too Many Requests",
        "status": 429,
        "detail": f"Too many requests. Try again in {answer.header('retry-after')} s.",
        "code": "throttled",
        "violated-policies": ["2/minute"],
    }
    assert answer.header("retry-after") == "30"
    assert answer.header("ratelimit-policy") == '"2/minute";q=2;w=60'
    assert answer.header("ratelimit") == f'"2/minute";r=0;t={answer.header("retry-after")}'


async def test_an_allowed_response_has_the_remaining_quota(application):
    answer = await exchange(application, path="/instances")
    assert answer.status == 200
    assert answer.header("ratelimit-policy") == '"3/second";q=3;w=1, "5/hour";q=5;w=3600, "daily";q=9;w=86400'
    assert answer.header("ratelimit") == '"3/second";r=2;t=1, "5/hour";r=4;t=720, "daily";r=8;t=9600'


async def test_a_request_that_one_rate_refuses_uses_up_none(application):
    await statuses(application, "/instances", 3)
    answers = [await exchange(application, path="/instances") for _ in range(3)]
    assert {answer.status for answer in answers} == {429}
    assert {'"5/hour";r=2' in answer.header("ratelimit") for answer in answers} == {True}
    assert json.loads(answers[0].body)["violated-policies"] == ["3/second"]


@pytest.mark.parametrize("target", ["/class", "/decorated"])
async def test_the_body_is_not_asked_for_before_the_throttle_has_spoken(application, target):
    await statuses(application, target, 2)
    connection = Connection(application, path=target, method="POST", headers=[("Content-Length", "7")])
    await asyncio.wait_for(connection.task, 10)  # nothing has been sent
    assert connection.answer.status == 429


async def test_a_decorated_function_finds_its_body(application):
    assert (await exchange(application, path="/decorated", method="POST", body=b"hello")).body == b"hello"


async def test_a_decorated_function_finds_its_body_under_djangos_handler(settings, async_client):
    settings.ROOT_URLCONF = __name__
    response = await async_client.post("/decorated", b"hello", content_type="text/plain")
    assert response.content == b"hello"
    assert response["RateLimit"].startswith('"2/minute";r=1;')


def test_a_sync_function_is_refused():
    with pytest.raises(TypeError, match=r"view is not async: write `async def .*view\(request, …\)`"):

        @AsyncRateThrottle("1/s")
        def view(request):
            """Nothing."""


async def test_a_backend_that_fails_lets_through_or_not_as_was_declared(application, caplog):
    assert await statuses(application, "/open", 3) == [200] * 3
    answer = await exchange(application, path="/closed")
    assert answer.status == 503
    assert answer.header("retry-after") == "1"
    assert json.loads(answer.body)["code"] == "throttle_unavailable"
    assert b"SECRET" not in answer.body


def test_a_method_is_refused_with_what_to_write():
    with pytest.raises(TypeError, match=r"View.get is a method: write @method_decorator\(AsyncRateThrottle\(…\)\)"):

        class View(AsyncAPIView):
            @AsyncRateThrottle("1/s")
            async def get(self, request):
                """Nothing."""


def test_views_of_a_factory_would_share_a_limit_and_are_refused():
    async def view(request):
        """One of many."""

    with pytest.raises(TypeError, match=r"view is created anew by each call .*: give the throttle a scope"):
        AsyncRateThrottle("1/s")(view)
    AsyncRateThrottle("1/s", scope="mine")(view)


@pytest.mark.parametrize("error", [ImproperlyConfigured, TypeError, ProgrammingError])
async def test_a_bug_is_no_failure_to_be_open_about(error):
    class Broken(Failing):
        async def run(self, key, operation, *, timeout):  # noqa: ASYNC109 - a backend's
            raise error

    with pytest.raises(error):
        await AsyncRateThrottle("1/s", backend=Broken(), fail_open=True).hit(AsyncRequestFactory().get("/"))


async def test_the_settings_say_what_a_throttle_does_not(settings):
    request, throttle = AsyncRequestFactory().get("/"), AsyncRateThrottle("1/s", backend=Failing())
    settings.DAF_VIEWS = {"THROTTLE_FAIL_OPEN": True}
    assert await throttle.hit(request) is None


async def test_hit_tells_all_there_is_to_know():
    throttle = AsyncRateThrottle(["10/minute", "3/minute"], backend=MemoryBackend(clock=lambda: 10**15))
    hit = await throttle.hit(AsyncRequestFactory().get("/"))
    assert (hit.allowed, hit.limit, hit.remaining, hit.reset_after, hit.retry_after) == (True, 3, 2, 20.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({}, TypeError, "has no rate: write `rate ="),
        ({"rate": []}, TypeError, "has no rate"),
        ({"rate": 10}, TypeError, "A rate is text"),
        ({"rate": "often"}, ValueError, "'often' is not a rate"),
        ({"rate": "1/s", "algorithm": "magic"}, ValueError, "one of 'gcra', 'sliding-window', not 'magic'"),
        ({"rate": "1/s", "scope": "é"}, ValueError, "printable ASCII"),
        ({"rate": "1/s", "scope": ""}, ValueError, "scope is empty"),
        ({"rate": "1/s", "algorithm": ""}, ValueError, "one of 'gcra'"),
        ({"rate": "1/s", "fail_open": "no"}, TypeError, "fail_open must be True, False or None"),
        ({"rate": "1/s", "backend": "redis"}, TypeError, "backend must be an instance of a Backend"),
        ({"rate": "1/s", "backend": MemoryBackend}, TypeError, "backend must be an instance of a Backend"),
        ({"rate": "1/s", "burst": 3}, TypeError, "burst"),
    ],
)
def test_a_throttle_that_would_not_work_is_refused_when_it_is_made(arguments, error, reason):
    with pytest.raises(error, match=reason):
        AsyncRateThrottle(**arguments)


def test_a_class_without_a_rate_is_refused_when_the_view_is_made():
    with pytest.raises(TypeError, match="has no rate"):

        class View(AsyncAPIView):
            throttle = AsyncRateThrottle


# By path


@pytest.mark.parametrize(
    ("target", "top", "is_it"),
    [
        ("/login", "/login", True),
        ("/login/", "/login", True),
        ("/login/x", "/login", True),
        ("/logins", "/login", False),
        ("/api/x", "/api/", True),
        ("/api", "/api/", False),
        ("/anything", "/", True),
    ],
)
def test_a_path_is_below_another(target, top, is_it):
    assert is_below(target, top) is is_it


@pytest.fixture
def by_path(settings):
    settings.DAF_VIEWS = {"THROTTLED_PATHS": {"/plain": f"{__name__}.Burst", "/plain/below": "1/hour"}}
    settings.MIDDLEWARE = thread_free(
        ["daf_views.middleware.async_error_middleware", "daf_views.throttling.throttle_middleware"]
    )
    return get_asgi_application()


async def test_a_path_is_limited_with_all_that_is_below(by_path):
    assert await statuses(by_path, "/plain/below", 2) == [200, 429]
    assert await statuses(by_path, "/plain") == [429] * 3  # a refused request was counted where it was let through
    assert await statuses(by_path, "/plainer", 4) == [200] * 4


async def test_each_rule_has_its_remaining_quota(by_path):
    answer = await exchange(by_path, path="/plain/below")
    assert answer.header("ratelimit-policy") == '"2/minute";q=2;w=60, "1/hour";q=1;w=3600'


async def test_the_fields_of_path_and_view_are_both_there(settings):
    settings.DAF_VIEWS = {"THROTTLED_PATHS": {"/": "100/hour"}}
    settings.MIDDLEWARE = ["daf_views.throttling.throttle_middleware"]
    answer = await exchange(get_asgi_application(), path="/class")
    assert answer.header("ratelimit-policy") == '"100/hour";q=100;w=3600, "2/minute";q=2;w=60'


async def test_a_path_is_limited_before_the_body_is_asked_for(by_path):
    await statuses(by_path, "/plain", 2)
    connection = Connection(by_path, path="/plain", method="POST", headers=[("Content-Length", "7")])
    await asyncio.wait_for(connection.task, 10)
    assert connection.answer.status == 429


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        ({"plain": "1/s"}, r"\['plain'\]: a path begins with a slash"),
        ({"/plain": "1/fortnight"}, r"\['/plain'\]: '1/fortnight' is not a rate"),
        ({"/plain": "nowhere.Throttle"}, r"\['/plain'\]: No module named 'nowhere'"),
        ({"/plain": f"{__name__}.plain"}, "which is no throttle"),
    ],
)
def test_a_rule_that_would_not_work_is_refused_when_the_server_starts(settings, paths, reason):
    settings.DAF_VIEWS = {"THROTTLED_PATHS": paths}
    settings.MIDDLEWARE = ["daf_views.throttling.throttle_middleware"]
    with pytest.raises(ImproperlyConfigured, match=reason):
        get_asgi_application()


async def test_a_client_behind_our_proxy_is_counted_by_its_own_address(settings, application):
    settings.DAF_VIEWS = {"TRUSTED_PROXIES": ["unix"]}  # the exchange has no address

    async def ask(said):
        return (await exchange(application, path="/class", headers=[("X-Forwarded-For", said)])).status

    assert [await ask(f"{number}.2.3.4, 198.51.100.7") for number in range(3)] == [200, 200, 429]
    assert await ask("198.51.100.8") == 200


async def test_of_many_requests_at_once_exactly_the_limit_passes(application):
    answers = await asyncio.gather(*(exchange(application, path="/class") for _ in range(50)))
    assert sum(answer.status == 200 for answer in answers) == 2
