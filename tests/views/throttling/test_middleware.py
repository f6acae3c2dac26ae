"""Throttles by path, and pages of other sites."""

import pytest
from django.http import HttpResponse
from django.urls import path
from django.utils.decorators import async_only_middleware

from daf_views import AsyncAPIView
from daf_views.asgi import get_asgi_application
from tests.support.exchange import exchange

THROTTLE, OWN_CORS = "daf_views.throttling.throttle_middleware", f"{__name__}.cors_of_our_own"
CORS = "corsheaders.middleware.CorsMiddleware"
ORIGIN = ("Origin", "https://app.example")
PREFLIGHT = [ORIGIN, ("Access-Control-Request-Method", "GET")]
ran = []


@async_only_middleware
def cors_of_our_own(get_response):
    async def middleware(request):
        response = await get_response(request)
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    return middleware


class Books(AsyncAPIView):
    async def get(self, request):
        return self.success([])


async def function(request):
    ran.append(request.method)
    return HttpResponse()


urlpatterns = [path("api/books", Books.as_view()), path("api/function", function)]


@pytest.fixture
def application(settings):
    def make(*middleware):
        settings.CORS_ALLOW_ALL_ORIGINS = True
        settings.DAF_VIEWS = {"THROTTLED_PATHS": {"/api/": "2/minute"}, "THROTTLE_PER_PROCESS": True}
        settings.MIDDLEWARE = list(middleware)
        return get_asgi_application()

    return make


async def statuses(application, method, target, headers, times):
    answers = [await exchange(application, method=method, path=target, headers=headers) for _ in range(times)]
    return [answer.status for answer in answers], answers[-1]


@pytest.mark.parametrize("order", [(THROTTLE, CORS), (CORS, THROTTLE), (THROTTLE, OWN_CORS)])
async def test_a_preflight_is_not_counted_and_a_429_may_be_read(application, order):
    app = application(*order)
    found, _ = await statuses(app, "OPTIONS", "/api/books", PREFLIGHT, 4)
    assert found == [200] * 4
    found, last = await statuses(app, "GET", "/api/books", [ORIGIN], 3)
    assert found == [200, 200, 429]
    assert last.header("access-control-allow-origin") == "*"
    assert last.header("retry-after")
    assert last.header("ratelimit")


async def test_a_request_like_a_preflight_that_runs_a_view_is_counted(application):
    ran.clear()
    found, _ = await statuses(application(THROTTLE), "OPTIONS", "/api/function", PREFLIGHT, 4)
    assert (found, len(ran)) == ([200, 200, 429, 429], 2)


async def test_a_plain_options_request_is_counted(application):
    found, _ = await statuses(application(THROTTLE), "OPTIONS", "/api/books", [], 3)
    assert found == [200, 200, 429]


async def test_without_cors_a_refusal_has_no_header_of_it(application):
    _, last = await statuses(application(THROTTLE), "GET", "/api/books", [ORIGIN], 3)
    assert (last.status, last.header("access-control-allow-origin")) == (429, None)
