"""``request.user`` and the login that views need: pain 19, logged-in users in async views."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject

from daf_orm.test import count_hops, record_blocking
from daf_views.middleware import thread_free
from tests.views.middleware.test_twins import DEFAULT, OTHERS

EVERY = [*DEFAULT[:1], *OTHERS, *DEFAULT[1:], "django.contrib.auth.middleware.LoginRequiredMiddleware"]


async def who(request):
    return HttpResponse((await request.auser()).username)


async def who_sync(request):
    return HttpResponse(request.user.username)


urlpatterns = [path("", who), path("sync", who_sync)]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def urls(settings):
    settings.ROOT_URLCONF = __name__


@pytest.fixture
def ada():
    return get_user_model().objects.create_user("ada", password="countess")


@sync_and_async_middleware
def suspend(get_response):
    """Third-party middleware: all users are suspended, which takes a query to find out."""

    def look_up():
        return AnonymousUser() if get_user_model().objects.exists() else None

    async def middleware(request):
        request.user = SimpleLazyObject(look_up)
        return await get_response(request)

    return middleware


async def test_a_logged_in_async_view_through_every_middleware(ada):
    with override_settings(MIDDLEWARE=thread_free(EVERY)):
        client = AsyncClient()
        await client.aforce_login(ada)
        with record_blocking() as calls:
            response = await client.get("/")

    assert response.text == "ada"
    assert calls == []


async def test_the_user_that_the_middleware_has_loaded_is_there_for_sync_code(ada):
    with override_settings(MIDDLEWARE=thread_free(EVERY)):
        client = AsyncClient()
        await client.aforce_login(ada)

        assert (await client.get("/sync")).text == "ada"


async def test_costs_the_session_and_the_user(ada):
    with override_settings(MIDDLEWARE=thread_free(EVERY)):
        client = AsyncClient()
        await client.aforce_login(ada)
        await client.get("/")
        with count_hops() as hops:
            await client.get("/")

    assert not any("process_" in name or "Middleware" in name for name in hops.by_name), hops


async def test_an_unauthenticated_request_is_sent_to_the_login_page():
    with override_settings(MIDDLEWARE=thread_free(EVERY), LOGIN_URL="/login"):
        response = await AsyncClient().get("/?a=b")

    assert response["Location"] == "/login?next=/%3Fa%3Db"


async def test_a_user_from_other_middleware_decides(ada):
    *rest, last = EVERY
    with override_settings(MIDDLEWARE=thread_free([*rest, f"{__name__}.suspend", last]), LOGIN_URL="/login"):
        client = AsyncClient()
        await client.aforce_login(ada)

        assert (await client.get("/")).status_code == 302


def test_is_djangos_own_under_wsgi(ada):
    with override_settings(MIDDLEWARE=thread_free(EVERY), LOGIN_URL="/login"):
        client = Client()
        assert client.get("/").status_code == 302
        client.force_login(ada)
        assert client.get("/").text == "ada"
