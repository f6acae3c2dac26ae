"""Every Django decorator and mixin for views, on DAF's, under Django's own handler and middleware."""

import contextlib
import functools

import pytest
from asgiref.sync import sync_to_async
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import login_not_required, login_required, permission_required, user_passes_test
from django.contrib.auth.mixins import LoginRequiredMixin, PermissionRequiredMixin, UserPassesTestMixin
from django.contrib.auth.models import Permission, User
from django.db import transaction as django_transaction
from django.http import HttpResponse
from django.test import AsyncClient
from django.urls import path
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control, cache_page, never_cache
from django.views.decorators.clickjacking import (
    xframe_options_deny,
    xframe_options_exempt,
    xframe_options_sameorigin,
)
from django.views.decorators.common import no_append_slash
from django.views.decorators.csrf import csrf_exempt, csrf_protect, ensure_csrf_cookie, requires_csrf_token
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import (
    condition,
    conditional_page,
    etag,
    last_modified,
    require_GET,
    require_http_methods,
    require_safe,
)
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

from daf_orm import transaction
from daf_views.api import AsyncAPIView
from daf_views.views import AsyncView

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


class Shelf(AsyncView):
    async def get(self, request):
        user = await request.auser()
        return HttpResponse(f"{user.is_authenticated} " + "x" * 500)

    async def post(self, request):
        return HttpResponse("posted")


class ShelfAPI(AsyncAPIView):
    async def get(self, request):
        user = await request.auser()
        return self.success([user.is_authenticated, "x" * 500])


def is_ada(user):
    return user.username == "ada"


async def ais_ada(user):
    return user.username == "ada"


# name: decorator, what an anonymous user gets, what ada gets
DECORATORS = {
    "login_required": (login_required, 302, 200),
    "login_not_required": (login_not_required, 200, 200),
    "user_passes_test": (user_passes_test(is_ada), 302, 200),
    "user_passes_async_test": (user_passes_test(ais_ada), 302, 200),
    "permission_required": (permission_required("library.add_book"), 302, 200),
    "permission_lacking": (permission_required("library.delete_book"), 302, 302),
    "permission_raises": (permission_required("library.delete_book", raise_exception=True), 403, 403),
    "staff_member_required": (staff_member_required(login_url="/login"), 302, 200),
    "never_cache": (never_cache, 200, 200),
    "cache_control": (cache_control(max_age=7), 200, 200),
    "cache_page": (cache_page(7), 200, 200),
    "csrf_exempt": (csrf_exempt, 200, 200),
    "csrf_protect": (csrf_protect, 200, 200),
    "ensure_csrf_cookie": (ensure_csrf_cookie, 200, 200),
    "requires_csrf_token": (requires_csrf_token, 200, 200),
    "vary_on_headers": (vary_on_headers("X-Shelf"), 200, 200),
    "vary_on_cookie": (vary_on_cookie, 200, 200),
    "require_http_methods": (require_http_methods(["GET"]), 200, 200),
    "require_other_methods": (require_http_methods(["PUT"]), 405, 405),
    "require_GET": (require_GET, 200, 200),
    "require_safe": (require_safe, 200, 200),
    "condition": (condition(etag_func=lambda _: "7"), 200, 200),
    "etag": (etag(lambda _: "7"), 200, 200),
    "last_modified": (last_modified(lambda _: None), 200, 200),
    "conditional_page": (conditional_page, 200, 200),
    "gzip_page": (gzip_page, 200, 200),
    "xframe_options_deny": (xframe_options_deny, 200, 200),
    "xframe_options_sameorigin": (xframe_options_sameorigin, 200, 200),
    "xframe_options_exempt": (xframe_options_exempt, 200, 200),
    "sensitive_post_parameters": (sensitive_post_parameters(), 200, 200),
    "no_append_slash": (no_append_slash, 200, 200),
}


class TestIsAda(UserPassesTestMixin):
    __test__ = False

    def test_func(self):
        return is_ada(self.request.user)


MIXINS = {
    "LoginRequiredMixin": (LoginRequiredMixin, {}, 302, 200),
    "LoginRequiredMixin_raises": (LoginRequiredMixin, {"raise_exception": True}, 403, 200),
    "PermissionRequiredMixin": (PermissionRequiredMixin, {"permission_required": "library.add_book"}, 302, 200),
    "PermissionRequiredMixin_lacking": (
        PermissionRequiredMixin,
        {"permission_required": "library.delete_book"},
        302,
        403,
    ),
    "UserPassesTestMixin": (TestIsAda, {}, 302, 200),
}


class Front:
    """A project's own mixin, as synchronous as Django's."""

    def dispatch(self, request, *args, **kwargs):
        assert request.user is not None
        return super().dispatch(request, *args, **kwargs)


def views_of(base):
    for name, (decorator, *_) in DECORATORS.items():
        yield f"{name}/outside", decorator(base.as_view())
        yield f"{name}/dispatch", method_decorator(decorator, name="dispatch")(type(name, (base,), {})).as_view()
        yield f"{name}/get", type(name, (base,), {"get": method_decorator(decorator)(base.get)}).as_view()
        cached = method_decorator(never_cache, name="dispatch")(type(name, (base,), {}))
        yield f"{name}/twice", method_decorator(decorator, name="dispatch")(cached).as_view()
    for name, (mixin, attributes, *_) in MIXINS.items():
        mixed = type(name, (mixin, base), attributes)
        yield f"{name}/plain", mixed.as_view()
        yield f"{name}/decorated", method_decorator(never_cache, name="dispatch")(type(name, (mixed,), {})).as_view()
        yield f"{name}/twice", type(name, (Front, mixed), {}).as_view()


urlpatterns = [
    path(f"{prefix}/{name}", view)
    for prefix, base in (("html", Shelf), ("api", ShelfAPI))
    for name, view in views_of(base)
] + [
    path("exempt", method_decorator(csrf_exempt, name="dispatch")(type("Exempt", (Shelf,), {})).as_view()),
    path("not-exempt", Shelf.as_view()),
]


@pytest.fixture
def project(db, settings):
    settings.MIDDLEWARE = MIDDLEWARE
    settings.LOGIN_URL = "/login"


@pytest.fixture
async def ada(project):
    def make():
        user = User.objects.create_user("ada", is_staff=True)
        user.user_permissions.add(Permission.objects.get(codename="add_book"))
        return user

    client = AsyncClient()
    await client.aforce_login(await sync_to_async(make)())
    return client


def cases(where, table):
    return [
        pytest.param(f"/{prefix}/{name}/{place}", *expected[-2:], id=f"{prefix}-{name}-{place}")
        for prefix in ("html", "api")
        for name, expected in table.items()
        for place in where
    ]


@pytest.mark.sqlite_memory  # the decisions are the same on every database
@pytest.mark.parametrize(
    ("url", "anonymous", "logged_in"),
    cases(["outside", "dispatch", "get", "twice"], DECORATORS) + cases(["plain", "decorated", "twice"], MIXINS),
)
async def test_every_decorator_and_mixin_decides_as_on_django_views(ada, url, anonymous, logged_in):
    expected = (anonymous, logged_in)
    answers = (await AsyncClient().get(url)).status_code, (await ada.get(url)).status_code
    assert answers == expected


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("never_cache", "Cache-Control", "no-store"),
        ("cache_control", "Cache-Control", "max-age=7"),
        ("cache_page", "Cache-Control", "max-age=7"),
        ("vary_on_headers", "Vary", "X-Shelf"),
        ("etag", "ETag", '"7"'),
        ("gzip_page", "Content-Encoding", "gzip"),
        ("xframe_options_sameorigin", "X-Frame-Options", "SAMEORIGIN"),
        ("ensure_csrf_cookie", "Vary", "Cookie"),
    ],
)
@pytest.mark.parametrize("place", ["outside", "dispatch", "get"])
async def test_a_decorator_has_its_effect(project, name, header, value, place):
    response = await AsyncClient().get(f"/html/{name}/{place}", headers={"Accept-Encoding": "gzip"})
    assert value in response.headers[header]


@pytest.mark.parametrize("place", ["outside", "dispatch", "get"])
async def test_a_condition_that_holds_is_304(project, place):
    response = await AsyncClient().get(f"/html/etag/{place}", headers={"If-None-Match": '"7"'})
    assert response.status_code == 304


@pytest.mark.parametrize(("url", "status"), [("/exempt", 200), ("/not-exempt", 403)])
async def test_csrf_is_checked_where_it_should(project, url, status):
    assert (await AsyncClient(enforce_csrf_checks=True).post(url)).status_code == status


@pytest.mark.parametrize("place", ["plain", "decorated", "twice"])
async def test_a_denied_api_view_answers_with_a_problem(ada, place):
    response = await ada.get(f"/api/PermissionRequiredMixin_lacking/{place}")
    assert response.headers["Content-Type"] == "application/problem+json"


@contextlib.contextmanager
def block():
    yield


def passing(handler):
    @functools.wraps(handler)
    def wrapper(*args, **kwargs):
        return handler(*args, **kwargs)

    return wrapper


LEAVING = {
    "atomic": django_transaction.atomic,
    "atomic with arguments": django_transaction.atomic(using="default"),
    "atomic for methods": method_decorator(django_transaction.atomic),
    "atomic among others": method_decorator([never_cache, django_transaction.atomic]),
    "atomic under another": lambda handler: passing(django_transaction.atomic(handler)),
    "a language": translation.override("de"),
    "a block": block(),
}


@pytest.mark.parametrize("decorator", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("base", [AsyncView, AsyncAPIView])
def test_a_block_that_ends_before_its_handler_begins_is_refused(base, decorator):
    async def get(self, request):
        pass

    with pytest.raises(TypeError, match=r"Orders\.get\(\) is decorated with .* ends before the coroutine begins"):
        type("Orders", (base,), {"get": decorator(get), "__module__": __name__})


@pytest.mark.parametrize("decorator", [django_transaction.atomic, [never_cache, django_transaction.atomic]])
def test_djangos_atomic_around_dispatch_is_refused(decorator):
    class Orders(AsyncView):
        async def get(self, request):
            pass

    with pytest.raises(TypeError, match=r"Orders\.dispatch\(\) is decorated with Django's atomic"):
        method_decorator(decorator, name="dispatch")(Orders).as_view()


@pytest.mark.parametrize(
    "decorator",
    [
        *(transaction.atomic, transaction.atomic(), django_transaction.non_atomic_requests, passing, never_cache),
        method_decorator(never_cache),
    ],
)
def test_a_decorator_that_passes_the_coroutine_on_is_taken(decorator):
    async def get(self, request):
        pass

    assert type("Orders", (AsyncView,), {"get": decorator(get)}).as_view()
