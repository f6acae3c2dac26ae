"""The system checks of the view layer: each names the fact and the remedy."""

import re

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.checks import run_checks
from django.db import transaction
from django.http import HttpResponse
from django.test import modify_settings
from django.urls import include, path, re_path
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin
from django.views import View

from daf_views.middleware import thread_free
from daf_views.middleware.base import InlineMixin
from tests.views.middleware.test_twins import DEFAULT, OTHERS


def messages():
    return run_checks(tags=["daf_views"])


# Settings


def test_right_settings_are_silent(settings):
    settings.DAF_VIEWS = {"HEARTBEAT": 5}

    assert messages() == []


def test_every_wrong_setting_is_an_error(settings):
    settings.DAF_VIEWS = {"HEARTBEATS": 5, "RETRY_AFTER": -1}

    assert [message.id for message in messages()] == ["daf_views.E001"] * 2
    assert "Did you mean 'HEARTBEAT'?" in messages()[0].msg


# Middleware


DEPLOYED = {"SECURE_HSTS_SECONDS": 0, "SESSION_COOKIE_SECURE": False, "CSRF_COOKIE_SECURE": False}


@pytest.mark.parametrize("values", [DEPLOYED, DEPLOYED | {"X_FRAME_OPTIONS": "SAMEORIGIN"}])
def test_django_s_deployment_checks_find_the_twins(values, settings):
    for name, value in values.items():
        setattr(settings, name, value)

    def found(middleware):
        settings.MIDDLEWARE = middleware
        return {each.id for each in run_checks(tags=["security"], include_deployment_checks=True)}

    assert found(thread_free(DEFAULT)) == found(DEFAULT)
    assert {"security.W004", "security.W008", "security.W012", "security.W016"} <= found(thread_free(DEFAULT))
    assert {"security.W001", "security.W002", "security.W003"} <= found([])


class Mixed(MiddlewareMixin):
    def process_response(self, request, response):
        return response

    def process_view(self, request, view, args, kwargs):
        """Let it pass."""


class Inline(InlineMixin, AuthenticationMiddleware):
    """Takes no thread."""


class Native:
    async_capable = True

    async def __call__(self, request):
        """Never called."""

    async def process_view(self, request, view, args, kwargs):
        """Let it pass."""


class Subclass(AuthenticationMiddleware):
    """Of a project: it is not replaced, and says so."""


def synchronous(get_response):
    return get_response


@sync_and_async_middleware
def capable(get_response):
    return get_response


@pytest.mark.parametrize("path", [*DEFAULT, *OTHERS])
def test_djangos_own_middleware_is_named(settings, path):
    settings.MIDDLEWARE = [path]
    [message] = messages()

    assert message.id == "daf_views.W001"
    assert path in message.msg
    assert "thread_free" in message.hint


def test_the_hooks_are_named(settings):
    settings.MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]

    assert "process_request() and process_response() and process_view()" in messages()[0].msg


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        ("Mixed", r"runs process_response\(\) and process_view\(\) in a thread", "InlineMixin"),
        ("Subclass", r"runs process_request\(\) in a thread", "InlineMixin"),
        ("synchronous", "it is synchronous", "async-capable"),
    ],
)
def test_other_middleware_is_told_what_to_do(settings, name, reason, remedy):
    settings.MIDDLEWARE = [f"{__name__}.{name}"]
    [message] = messages()

    assert message.id == "daf_views.W001"
    assert f"{__name__}.{name}" in message.msg
    assert re.search(reason, message.msg)
    assert remedy in message.hint


def test_middleware_that_takes_no_thread_is_not_named(settings):
    own = [f"{__name__}.{name}" for name in ("Inline", "Native", "capable")]
    settings.MIDDLEWARE = thread_free([*DEFAULT, *OTHERS, *own])
    settings.MIDDLEWARE += ["django.contrib.auth.middleware.RemoteUserMiddleware"]
    settings.MIDDLEWARE += thread_free(["django.contrib.auth.middleware.LoginRequiredMiddleware"])

    assert messages() == []


def test_middleware_that_does_not_exist_is_left_to_django(settings):
    settings.MIDDLEWARE = ["nowhere.Middleware"]

    assert messages() == []


# ATOMIC_REQUESTS


async def refused(request):
    return HttpResponse()


@transaction.non_atomic_requests
async def exempt(request):
    return HttpResponse()


@transaction.non_atomic_requests(using="other")
async def exempt_from_the_other(request):
    return HttpResponse()


def synchronous_view(request):
    return HttpResponse()


class Refused(View):
    async def get(self, request):
        return HttpResponse()


urlpatterns = [path("sync", synchronous_view), path("exempt", exempt)]
class_based = Refused.as_view()


@pytest.fixture
def atomic_requests(settings, monkeypatch):
    settings.ROOT_URLCONF = __name__
    monkeypatch.setitem(django_settings.DATABASES["default"], "ATOMIC_REQUESTS", value=True)


def test_views_that_django_would_call_are_not_named(atomic_requests):
    assert messages() == []


@pytest.mark.parametrize("view", [refused, exempt_from_the_other, class_based])
def test_async_views_under_atomic_requests_are_named(atomic_requests, settings, view):
    settings.ROOT_URLCONF = (*urlpatterns, path("nested/", include([path("", view)])))
    [message] = messages()

    assert message.id == "daf_views.W002"
    assert "'default'" in message.msg
    assert f"{__name__}.{getattr(view, 'view_class', view).__name__}." in message.msg
    assert "non_atomic_requests" in message.hint


def test_only_the_first_views_are_named(atomic_requests, settings):
    settings.ROOT_URLCONF = tuple(path(str(number), refused) for number in range(10))

    assert messages()[0].msg.endswith(f"{__name__}.refused and 7 more.")


def test_without_atomic_requests_nothing_is_said(settings):
    settings.ROOT_URLCONF = (path("", refused),)

    assert messages() == []


def test_a_startup_hook_that_cannot_be_imported_is_an_error(settings):
    settings.DAF_VIEWS = {"LIFESPAN": ["tests.views.nowhere.hook", "tests.views.test_checks.messages"]}
    (error,) = messages()
    assert error.id == "daf_views.E003"
    assert "tests.views.nowhere.hook" in error.msg


def test_views_without_the_orm_are_an_error():
    with modify_settings(INSTALLED_APPS={"remove": "daf_orm"}):
        (error,) = messages()
    assert error.id == "daf_views.E002"


def test_a_limit_that_no_request_passes_is_an_error(settings):
    settings.DAF_VIEWS = {"MAX_IN_FLIGHT": 0}
    (error,) = messages()
    assert error.msg == "DAF_VIEWS['MAX_IN_FLIGHT'] must be 1 or more, or None for no limit, not 0."


def test_a_route_that_cannot_be_reversed_is_no_business_of_the_checks(settings):
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [re_path(r"^(?i:a)$", View.as_view())]})
    settings.DAF_VIEWS = {"THROTTLE_BACKEND": "memory"}
    assert messages() == []
