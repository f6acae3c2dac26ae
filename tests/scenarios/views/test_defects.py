"""The defects of the framework that this project re-creates: each must stay away."""

import asyncio
import json
from typing import ClassVar

import pytest
from django.test import override_settings
from django.urls import path

from daf_views.api import AsyncAPIView
from daf_views.exceptions import ThrottledError
from daf_views.views import AsyncView


class Echo(AsyncAPIView):
    async def post(self, request):
        return self.success(request.data)


class OnlyOne:
    """A throttle that is given as a class."""

    def __init__(self):
        self.count = 0

    async def check(self, request, view):
        self.count += 1
        if self.count > 1:
            raise ThrottledError(retry_after=7)


class Limited(AsyncAPIView):
    throttle = OnlyOne

    async def get(self, request):
        return self.success()


class Broken(AsyncView):
    async def get(self, request):
        raise LookupError("secret shelf")


class Clock:
    def now(self):
        return "noon"


class Timed(AsyncAPIView):
    services: ClassVar = {"clock": Clock}

    async def get(self, request):
        return self.success([self.services.clock.now(), self.services["clock"].now()])


urlpatterns = [
    path("echo", Echo.as_view()),
    path("limited", Limited.as_view()),
    path("broken", Broken.as_view()),
    path("timed", Timed.as_view()),
]


async def test_a_json_body_is_parsed_as_what_it_says(async_client):
    response = await async_client.post("/echo", {"title": "Emma"}, content_type="application/json")
    assert response.json() == {"title": "Emma"}


async def test_a_throttle_given_as_a_class_limits(async_client):
    responses = await asyncio.gather(*(async_client.get("/limited") for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [200, 429, 429, 429, 429]


@override_settings(MIDDLEWARE=["daf_views.errors.boundary.async_error_middleware"])
async def test_the_error_middleware_sees_a_views_exception_and_returns_no_traceback(async_client):
    async_client.raise_request_exception = False
    response = await async_client.get("/broken")
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in response.text
    assert "Traceback" not in response.text


async def test_options_answers(async_client):
    response = await async_client.options("/echo")
    assert (response.status_code, response.headers["Allow"]) == (200, "POST, OPTIONS")


async def test_services_are_there_as_attributes_and_items(async_client):
    assert (await async_client.get("/timed")).json() == ["noon", "noon"]


@pytest.mark.parametrize("method", ["DISPATCH", "SETUP", "AS_VIEW", "SERVICES", "ASYNC_SETUP", "ADMIT", "__CLASS__"])
async def test_methods_named_like_internals_reach_none(async_client, method):
    response = await async_client.generic(method, "/echo", json.dumps({}), content_type="application/json")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST, OPTIONS")
