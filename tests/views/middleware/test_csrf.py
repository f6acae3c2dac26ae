"""The thread-free CSRF middleware where Django's would block: the body, the session, the failure page."""

from io import BytesIO

import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse, HttpResponseForbidden
from django.middleware.csrf import CsrfViewMiddleware, get_token
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from daf_orm.test import count_hops
from daf_views._django.requests import AsyncRequest
from daf_views.middleware import csrf, thread_free
from tests.support.exchange import exchange, scope
from tests.views.middleware.test_twins import DEFAULT

SECRET = "a" * 32
COOKIE = ("Cookie", f"csrftoken={SECRET}")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


async def accept(request):
    return HttpResponse(get_token(request))


def failure(request, reason=""):
    return HttpResponseForbidden(f"{reason} {get_user_model().objects.count()}")


urlpatterns = [path("", accept)]


@pytest.fixture(autouse=True)
def urls(settings):
    settings.ROOT_URLCONF = __name__


class Deferred(AsyncRequest):
    """A request whose body has not been received yet."""

    def __init__(self, body, headers):
        super().__init__(scope(method="POST", headers=headers), None)
        self.received = 0
        self._sent = body
        self.receive_body = self._receive

    async def _receive(self, limit):
        self.received += 1
        return BytesIO(self._sent)


async def view(request):
    return HttpResponse()


async def decide(request, callback=view):
    middleware = csrf.CsrfViewMiddleware(view)
    middleware.process_request(request)
    return await middleware.process_view(request, callback, (), {})


def body_with(token=SECRET):
    return f"csrfmiddlewaretoken={token}".encode()


async def test_the_body_is_received_for_a_token_in_it():
    request = Deferred(body_with(), [COOKIE, FORM])

    assert await decide(request) is None
    assert request.received == 1
    assert request.POST["csrfmiddlewaretoken"] == SECRET


@pytest.mark.parametrize(
    "headers",
    [
        [FORM],  # no cookie
        [FORM, ("Cookie", "csrftoken=short")],
        [FORM, COOKIE, ("Origin", "http://evil.example")],
        [("Content-Type", "application/json"), COOKIE],
    ],
)
async def test_a_request_is_rejected_without_its_body_where_that_does_not_matter(headers):
    request = Deferred(body_with(), headers)

    assert (await decide(request)).status_code == 403
    assert request.received == 0


async def test_json_with_a_token_in_its_header_is_accepted_without_its_body():
    request = Deferred(b"{}", [("Content-Type", "application/json"), COOKIE, ("X-CSRFToken", SECRET)])

    assert await decide(request) is None
    assert request.received == 0


async def test_an_exempt_view_receives_its_body_itself():
    async def exempt(request):
        """Never called."""

    exempt.csrf_exempt = True
    request = Deferred(body_with(), [COOKIE, FORM])

    assert await decide(request, exempt) is None
    assert request.received == 0


@pytest.mark.parametrize(("size", "hops"), [(100, 0), (csrf.MAX_INLINE_FORM, 1)])
async def test_a_large_form_is_parsed_in_a_thread(size, hops):
    body = body_with() + b"&a=" + b"x" * size
    request = Deferred(body, [COOKIE, FORM, ("Content-Length", str(len(body)))])

    with count_hops() as counted:
        assert await decide(request) is None
    assert counted.total == hops


async def test_a_form_of_unknown_size_is_parsed_in_a_thread():
    with count_hops() as hops:
        assert await decide(Deferred(body_with(), [COOKIE, FORM])) is None
    assert hops.total == 1


@pytest.mark.django_db
async def test_a_failure_view_may_query(settings):
    settings.CSRF_FAILURE_VIEW = f"{__name__}.failure"

    with count_hops() as hops:
        response = await decide(Deferred(body_with("b" * 32), [COOKIE, FORM, ("Content-Length", "52")]))

    assert response.content == b"CSRF token from POST incorrect. 0"
    assert hops.total == 1


@pytest.mark.django_db(transaction=True)
async def test_a_secret_in_the_session_costs_the_session_only():
    with override_settings(MIDDLEWARE=thread_free(DEFAULT), CSRF_USE_SESSIONS=True):
        client = AsyncClient(enforce_csrf_checks=True)
        token = (await client.get("/")).text
        with count_hops() as hops:
            response = await exchange(
                ASGIHandler(),
                method="POST",
                headers=[("X-CSRFToken", token), ("Cookie", f"sessionid={client.cookies['sessionid'].value}")],
            )

    assert response.status == 200
    assert not any("process_" in name for name in hops.by_name)


@pytest.mark.django_db
def test_is_djangos_own_under_wsgi():
    with override_settings(MIDDLEWARE=thread_free(DEFAULT)):
        client = Client(enforce_csrf_checks=True)
        assert client.post("/").status_code == 403
        token = client.get("/").text
        assert client.post("/", {"csrfmiddlewaretoken": token}).status_code == 200


@pytest.mark.parametrize("name", ["_check_token", "_get_secret", "_reject"])
def test_django_has_the_private_methods_that_are_overridden(name):
    assert name in vars(CsrfViewMiddleware)
