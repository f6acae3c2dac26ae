"""``thread_free()``: paths in, paths out, and not a hop left."""

import inspect
import subprocess
import sys

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from daf_orm.test import count_hops
from daf_views.middleware import thread_free
from daf_views.middleware.twins import TWINS
from tests.support.exchange import exchange

DEFAULT = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
OTHERS = [
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.locale.LocaleMiddleware",
]


async def trivial(request):
    return HttpResponse("hello")


urlpatterns = [path("", trivial), path("form", trivial)]


async def hops_of(middleware, **request):
    """Count what a request costs on Django's own handler."""
    with override_settings(MIDDLEWARE=middleware, ROOT_URLCONF=__name__):
        application = ASGIHandler()
        await exchange(application, **request)  # the first request loads translations
        with count_hops() as hops:
            assert (await exchange(application, **request)).status == 200
    return hops


def test_maps_djangos_own_and_keeps_the_rest_in_order():
    others = ["shop.middleware.Audit", "django.middleware.cache.UpdateCacheMiddleware"]

    replaced = thread_free([others[0], *DEFAULT, others[1]])

    assert replaced[0] == others[0]
    assert replaced[1:-1] == [TWINS[path] for path in DEFAULT]
    assert replaced[-1] == others[1]


def test_is_idempotent():
    assert thread_free(thread_free(DEFAULT)) == thread_free(DEFAULT)


def test_refuses_a_single_path():
    with pytest.raises(TypeError, match=r"thread_free\(\['django.middleware.gzip"):
        thread_free("django.middleware.gzip.GZipMiddleware")


@pytest.mark.parametrize("twin", [path for path in TWINS if "csp" not in path and "flatpages" not in path])
def test_a_twin_is_a_subclass_that_serves_both_modes(twin):
    middleware = import_string(TWINS[twin])

    assert issubclass(middleware, import_string(twin))
    assert middleware.sync_capable
    assert middleware.async_capable
    assert middleware.__name__ == twin.rpartition(".")[2]


def test_can_be_imported_without_settings():
    code = "from daf_views.middleware import thread_free; print(thread_free(['a.B']))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": ""})

    assert done.stdout == "['a.B']\n"


def test_djangos_mixin_still_has_the_method_that_is_overridden():
    assert inspect.iscoroutinefunction(MiddlewareMixin.__acall__)


async def test_default_middleware_costs_no_hop():
    bare = await hops_of([])

    assert (await hops_of(DEFAULT)).total >= bare.total + 10
    assert (await hops_of(thread_free(DEFAULT))).by_name == bare.by_name


async def test_the_other_three_cost_no_hop():
    bare = await hops_of([])

    assert (await hops_of(OTHERS)).total >= bare.total + 3
    assert (await hops_of(thread_free(OTHERS))).by_name == bare.by_name


async def test_a_session_that_is_not_touched_costs_no_hop():
    headers = [("Cookie", "sessionid=0123456789abcdef0123456789abcdef; csrftoken=" + "a" * 32)]
    bare = await hops_of([], headers=headers)

    assert (await hops_of(thread_free(DEFAULT), headers=headers)).by_name == bare.by_name


async def test_a_form_with_a_token_costs_no_hop():
    headers = [("Cookie", "csrftoken=" + "a" * 32), ("Content-Type", "application/x-www-form-urlencoded")]
    body = b"csrfmiddlewaretoken=" + b"a" * 32
    request = {"headers": [*headers, ("Content-Length", str(len(body)))], "body": body, "method": "POST"}
    bare = await hops_of([], **request)

    assert (await hops_of(thread_free(DEFAULT), **request)).by_name == bare.by_name
