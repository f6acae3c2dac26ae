"""Middleware that leaves the event loop now and then: when it does, and when not."""

import pytest
from django.contrib import messages
from django.contrib.messages.storage.session import SessionStorage
from django.contrib.sessions.backends.db import SessionStore
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from daf_orm.test import count_hops
from daf_views.middleware import gzip, http, thread_free
from tests.support.exchange import exchange

GZIP = ["django.middleware.gzip.GZipMiddleware"]
CONDITIONAL = ["django.middleware.http.ConditionalGetMiddleware"]
LOCALE = ["django.middleware.locale.LocaleMiddleware"]
FLAT = ["django.contrib.flatpages.middleware.FlatpageFallbackMiddleware"]
MESSAGES = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ACCEPT = ("Accept-Encoding", "gzip")


async def sized(request):
    return HttpResponse(b"x" * int(request.GET["size"]))


async def plain(request):
    return HttpResponse()


async def tagged(request):
    return HttpResponse(b"x" * (http.MAX_INLINE_BODY + 1), headers={"ETag": '"mine"'})


async def say(request):
    messages.info(request, "hello")
    return HttpResponse()


urlpatterns = [path("sized", sized), path("", plain), path("tagged", tagged), path("say", say)]
pytestmark = pytest.mark.django_db(transaction=True)  # the handler closes connections, as in production


class OwnStorage(SessionStorage):
    """A project's middleware: it may block."""


async def hops_of(middleware, target="/", *, like=None, **request):
    """Count what the middleware adds to a request, or to one ``like`` it, from the second request on."""
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[]), count_hops() as bare:
        await exchange(ASGIHandler(), **{**request, "path": like or target})
    request |= {"path": target}
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=thread_free(middleware)):
        application = ASGIHandler()
        await exchange(application, **request)
        with count_hops() as hops:
            await exchange(application, **request)
    return hops.total - bare.total


@pytest.mark.parametrize(("size", "hops"), [(gzip.MAX_INLINE_BODY, 0), (gzip.MAX_INLINE_BODY + 1, 1)])
async def test_a_large_body_is_compressed_in_a_thread(size, hops):
    assert await hops_of(GZIP, "/sized", query=f"size={size}".encode(), headers=[ACCEPT]) == hops


async def test_a_large_body_that_stays_unchanged_costs_nothing():
    assert await hops_of(GZIP, "/sized", query=b"size=1000000") == 0


@pytest.mark.parametrize(("size", "hops"), [(http.MAX_INLINE_BODY, 0), (http.MAX_INLINE_BODY + 1, 1)])
async def test_the_etag_of_a_large_body_is_computed_in_a_thread(size, hops):
    assert await hops_of(CONDITIONAL, "/sized", query=f"size={size}".encode()) == hops


async def test_an_etag_that_is_there_costs_nothing():
    assert await hops_of(CONDITIONAL, "/tagged") == 0


async def test_translations_are_loaded_in_a_thread_once():
    german = [("Accept-Language", "de")]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=thread_free(LOCALE)), count_hops() as first:
        await exchange(ASGIHandler(), headers=german)

    assert first.by_name["_load_translations"] == 1
    assert await hops_of(LOCALE, headers=german) == 0


async def test_flat_pages_are_looked_for_only_where_nothing_is():
    assert await hops_of(FLAT) == 0
    assert await hops_of(FLAT, "/nowhere") == 1


async def session_cookie():
    store = SessionStore()
    await store.aset("a", 1)
    await store.asave()
    return "Cookie", f"sessionid={store.session_key}"


async def test_messages_without_a_session_cost_nothing():
    assert await hops_of(MESSAGES) == 0
    assert await hops_of(MESSAGES, "/say", like="/") == 0


async def test_untouched_messages_do_not_load_the_session():
    assert await hops_of(MESSAGES, headers=[await session_cookie()]) == 0


async def test_messages_that_may_load_the_session_are_stored_in_a_thread():
    assert await hops_of(MESSAGES, "/say", like="/", headers=[await session_cookie()]) == 1


async def test_a_storage_of_the_project_runs_in_a_thread(settings):
    settings.MESSAGE_STORAGE = f"{__name__}.OwnStorage"

    assert await hops_of(MESSAGES) == 1
