"""Outside DEBUG no response tells what went wrong inside: made to fail everywhere, with everything."""

import contextlib
import subprocess
from typing import ClassVar
from unittest.mock import ANY

import pytest
from django.core.exceptions import (
    BadRequest,
    FieldError,
    ImproperlyConfigured,
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFilesSent,
)
from django.db import DataError, IntegrityError, OperationalError
from django.http import Http404, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.test import AsyncClient, override_settings
from django.urls import path, register_converter
from django.urls.converters import StringConverter
from django.utils.decorators import async_only_middleware, sync_only_middleware
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests
from daf_views.api import AsyncAPIView, JSONParser
from daf_views.views import AsyncView

SECRET = 'hunter2 SELECT "password" FROM auth_user /srv/shop/settings.py'
TELLING = ("hunter2", "SELECT", "auth_user", "/srv/", "Traceback", 'File "', "line ", __name__, "test_opacity", ".py")
failing: dict[str, BaseException] = {}


def fail(place):
    if place in failing:
        raise failing[place]


@contextlib.asynccontextmanager
async def service():
    fail("factory")
    yield
    fail("teardown")


async def concurrent():
    fail("coroutine factory")


class Gate:
    async def check(self, request, view):
        fail("throttle")

    async def has_permission(self, request, view):
        fail("permission")
        return True


class Parser(JSONParser):
    async def parse(self, request):
        fail("parser")
        return await super().parse(request)


class Unencodable(dict):
    def items(self):
        fail("encoder")
        return super().items()


class Common:
    services: ClassVar = {"service": service, "concurrent": concurrent, "other": dict}

    def setup(self, request, *args, **kwargs):
        super().setup(request, *args, **kwargs)
        fail("sync setup")

    def dispatch(self, request, *args, **kwargs):
        fail("dispatch")
        return super().dispatch(request, *args, **kwargs)

    async def async_setup(self, request, *args, **kwargs):
        fail("setup")


class API(Common, AsyncAPIView):
    throttle = Gate
    permissions = (Gate,)
    parsers = (Parser,)

    async def authenticate(self, request):
        fail("authenticate")

    async def post(self, request, name):
        fail("handler")
        return self.success(Unencodable(name=name))


class Page(Common, AsyncView):
    async def post(self, request, name):
        fail("handler")
        return HttpResponse(name)


class FailingConverter(StringConverter):
    def to_python(self, value):
        fail("resolver")
        return value


@async_only_middleware
def failing_middleware(get_response):
    async def middleware(request):
        fail("middleware before")
        response = await get_response(request)
        fail("middleware after")
        return response

    return middleware


@sync_only_middleware
def failing_sync_middleware(get_response):
    def middleware(request):
        fail("sync middleware before")
        response = get_response(request)
        fail("sync middleware after")
        return response

    return middleware


register_converter(FailingConverter, "failing")
urlpatterns = [path("api/<failing:name>", API.as_view()), path("page/<failing:name>", Page.as_view())]

PLACES = [
    *("factory", "teardown", "coroutine factory", "throttle", "permission", "parser", "encoder", "sync setup"),
    *("dispatch", "setup", "authenticate", "handler", "resolver", "middleware before", "middleware after"),
    *("sync middleware before", "sync middleware after"),
]
BOUNDARY = "daf_views.errors.boundary.async_error_middleware"
FAILING = [f"{__name__}.failing_middleware", f"{__name__}.failing_sync_middleware"]
KINDS = [
    *(
        Exception,
        RuntimeError,
        LookupError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        OSError,
        FileNotFoundError,
    ),
    *(TimeoutError, RecursionError, MemoryError, StopAsyncIteration, AssertionError, ConnectionResetError),
    *(OperationalError, IntegrityError, DataError, PoolTimeout, PoolClosed, TooManyRequests, ObjectDoesNotExist),
    *(BadRequest, PermissionDenied, Http404, SuspiciousOperation, RequestDataTooBig, TooManyFilesSent, FieldError),
    *(MultiPartParserError, ImproperlyConfigured, TemplateSyntaxError, TemplateDoesNotExist),
]


@st.composite
def failures(draw):
    exc = draw(st.sampled_from(KINDS))(SECRET)
    if draw(st.booleans()):
        exc.__cause__ = draw(st.sampled_from(KINDS))(SECRET)
    if draw(st.booleans()):
        exc.add_note(SECRET)
    if draw(st.booleans()):
        return ExceptionGroup(SECRET, [exc, draw(st.sampled_from(KINDS))(SECRET)])
    if draw(st.integers(0, 9)) == 0:
        return subprocess.CalledProcessError(1, SECRET, SECRET, SECRET)
    return exc


ACCEPTS = ["*/*", "application/json", "text/html", "text/html,application/xhtml+xml,*/*;q=0.8", "", "image/png"]


async def ask(url, accept):
    client = AsyncClient(raise_request_exception=False)
    return await client.post(url, {"a": 1}, content_type="application/json", headers={"Accept": accept})


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=3, unique=True),
    failure=failures(),
    url=st.sampled_from(["/api/emma", "/page/emma"]),
    accept=st.sampled_from(ACCEPTS),
    middleware=st.sampled_from([[BOUNDARY, *FAILING], [BOUNDARY], FAILING, []]),
)
@pytest.mark.timeout(300)
async def test_no_response_tells_what_went_wrong_inside(places, failure, url, accept, middleware):
    failing.update(dict.fromkeys(places, failure))
    try:
        with override_settings(MIDDLEWARE=middleware):
            response = await ask(url, accept)
    finally:
        failing.clear()
    head = " ".join(f"{name}: {value}" for name, value in response.items())
    assert [word for word in TELLING if word in response.text + head] == []


@pytest.mark.parametrize("place", PLACES)
async def test_every_place_does_fail(place, settings):
    settings.DAF_VIEWS = {"PROBLEM_PATHS": ["/"]}
    settings.MIDDLEWARE = [BOUNDARY, *FAILING]
    # Of the errors at the end of a service, only one that may come from a commit is answered.
    failing[place] = (IntegrityError if place == "teardown" else LookupError)(SECRET)
    try:
        response = await ask("/api/emma", "*/*")
    finally:
        failing.clear()
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "code": "internal_error",
        "error_id": ANY,
    }


async def test_nothing_fails_without_a_fault(settings):
    settings.MIDDLEWARE = [BOUNDARY, *FAILING]
    assert (await ask("/api/emma", "*/*")).json() == {"name": "emma"}
