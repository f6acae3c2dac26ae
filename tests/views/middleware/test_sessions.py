"""The thread-free session middleware: how many hops a session costs, and stores that are not what they seem."""

import asyncio
from importlib import import_module

import pytest
from django.contrib.sessions.backends import cached_db, db, file, signed_cookies
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse
from django.test import AsyncRequestFactory, Client, override_settings
from django.urls import path

from daf_orm.test import count_hops, record_blocking
from daf_views.http.session import has_async_twins, load_session, session_is_loaded
from daf_views.middleware import thread_free
from daf_views.middleware.sessions import SessionMiddleware
from tests.support.exchange import exchange

MIDDLEWARE = thread_free(["django.contrib.sessions.middleware.SessionMiddleware"])


async def write(request):
    await request.session.aset("a", 1)
    return HttpResponse()


async def leave_alone(request):
    return HttpResponse()


urlpatterns = [path("write", write), path("", leave_alone)]
pytestmark = pytest.mark.django_db(transaction=True)  # the handler closes connections, as in production


@pytest.fixture(autouse=True)
def urls(settings):
    settings.ROOT_URLCONF = __name__


class Stamped(db.SessionStore):
    """As Django's documentation extends the store: a synchronous method only."""

    def create_model_instance(self, data):
        return super().create_model_instance({**data, "stamped": True})


SessionStore = Stamped  # so that this module is a session engine


async def hops_of(target, *, cookie=None, **changes):
    headers = [("Cookie", f"sessionid={cookie}")] if cookie else []
    with override_settings(MIDDLEWARE=MIDDLEWARE, **changes):
        application = ASGIHandler()
        with count_hops() as bare, override_settings(MIDDLEWARE=[]):
            await exchange(ASGIHandler(), path="/", headers=headers)
        with count_hops() as hops:
            answer = await exchange(application, path=target, headers=headers)
        assert answer.status == 200
    return hops.total - bare.total, answer


async def key_of(data, engine=db.SessionStore):
    store = engine()
    await store.aupdate(data)
    await store.asave()
    return store.session_key


async def test_an_untouched_session_costs_nothing():
    assert (await hops_of("/"))[0] == 0
    assert (await hops_of("/", cookie=await key_of({"a": 2})))[0] == 0


async def test_a_changed_session_costs_its_load_and_its_save():
    hops, answer = await hops_of("/write", cookie=await key_of({"a": 2}))

    assert hops == 2
    assert await db.SessionStore(answer.cookies["sessionid"].value).aget("a") == 1


async def test_a_session_in_a_cookie_costs_nothing():
    engine = "django.contrib.sessions.backends.signed_cookies"
    hops, answer = await hops_of("/write", SESSION_ENGINE=engine)

    assert hops == 0
    assert signed_cookies.SessionStore(answer.cookies["sessionid"].value)["a"] == 1


ENGINES = ["db", "cache", "cached_db", "signed_cookies"]


@pytest.mark.parametrize("engine", ENGINES)
def test_djangos_stores_have_async_twins(engine):
    assert has_async_twins(import_module(f"django.contrib.sessions.backends.{engine}").SessionStore)


@pytest.mark.parametrize("store", [Stamped, file.SessionStore])
def test_a_store_without_its_own_async_methods_is_recognised(store):
    assert not has_async_twins(store)


def test_a_store_that_overrides_both_is_taken_at_its_word():
    class Both(cached_db.SessionStore):
        def save(self, *args):
            """Save."""

        async def asave(self, *args):
            """Save."""

    assert has_async_twins(Both)


async def test_a_sync_override_is_not_passed_over():
    _, answer = await hops_of("/write", SESSION_ENGINE=__name__)

    stored = await Stamped(answer.cookies["sessionid"].value).aload()
    assert stored == {"a": 1, "stamped": True}


@pytest.mark.parametrize("store", [db.SessionStore, Stamped])
async def test_a_loaded_session_can_be_used_synchronously(store):
    session = store(await key_of({"a": 2}, store))
    assert not session_is_loaded(session)
    await load_session(session)

    with record_blocking() as calls:
        assert session["a"] == 2
    assert calls == []
    assert session_is_loaded(session)


def test_a_new_session_needs_no_load():
    assert session_is_loaded(db.SessionStore())


async def test_a_save_that_is_cancelled_ends_there(monkeypatch):
    saving = asyncio.Event()

    async def asave(self):
        saving.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(db.SessionStore, "asave", asave)
    request = asyncio.ensure_future(SessionMiddleware(write)(AsyncRequestFactory().get("/")))
    await saving.wait()
    request.cancel()
    await asyncio.wait([request])

    assert request.cancelled()


def test_is_djangos_own_under_wsgi():
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        client = Client()
        client.get("/write")

    assert client.session["a"] == 1
