"""A bug in an API view: heard of by middleware and by the signal, once each, and answered with a problem."""

import pytest
from django.core.signals import got_request_exception
from django.http import Http404, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client
from django.urls import path
from django.utils.decorators import async_only_middleware

from daf_views import AsyncAPIView
from daf_views.asgi import get_asgi_application
from daf_views.throttling import AsyncRateThrottle
from tests.project.library.models import Author
from tests.support.exchange import exchange

heard = []


def signalled(request, **_):
    heard.append("signal")


@pytest.fixture(autouse=True)
def listening(settings):
    heard.clear()
    settings.MIDDLEWARE = [f"{__name__}.hearing"]
    got_request_exception.connect(signalled)
    yield
    got_request_exception.disconnect(signalled)


@async_only_middleware
def hearing(get_response):
    async def middleware(request):
        return await get_response(request)

    def process_exception(request, exception):
        heard.append(exception)
        return HttpResponse("the middleware's", status=502) if "answer" in request.GET else None

    middleware.process_exception = process_exception
    return middleware


class Broken(AsyncAPIView):
    throttle = AsyncRateThrottle("1000/hour")

    async def get(self, request):
        raise {"missing": Http404, "bug": LookupError}[request.GET["kind"]]("secret")


class Writing(AsyncAPIView):
    atomic = True
    enforces_csrf = False

    async def post(self, request):
        await Author.objects.acreate(name="lost")
        raise LookupError


urlpatterns = [path("broken", Broken.as_view()), path("writing", Writing.as_view())]


async def by_daf(query):
    return await exchange(get_asgi_application(), path="/broken", query=query)


async def by_django(query):
    response = await AsyncClient(raise_request_exception=False).get(f"/broken?{query.decode()}")
    return SimpleAnswer(response)


class SimpleAnswer:
    def __init__(self, response):
        self.status, self.body, self.header = response.status_code, response.content, response.headers.get


@pytest.mark.parametrize("ask", [by_daf, by_django])
async def test_a_bug_is_heard_of_once_and_answered_with_a_problem(ask, caplog):
    answer = await ask(b"kind=bug")
    assert [type(heard[0]), *heard[1:]] == [LookupError, "signal"]
    assert (answer.status, answer.header("content-type")) == (500, "application/problem+json")
    assert b"secret" not in answer.body
    assert [record.name for record in caplog.records if record.exc_info] == ["django.request"]


@pytest.mark.parametrize("ask", [by_daf, by_django])
async def test_middleware_may_answer_a_bug(ask):
    answer = await ask(b"kind=bug&answer")
    assert (answer.status, answer.body, len(heard)) == (502, b"the middleware's", 1)


@pytest.mark.parametrize("ask", [by_daf, by_django])
async def test_an_intended_error_is_no_bug(ask):
    assert (await ask(b"kind=missing")).status == 404
    assert heard == []


async def test_the_response_has_the_remaining_quota():
    assert (await by_daf(b"kind=bug")).header("ratelimit-policy") == '"1000/hour";q=1000;w=3600'


async def test_the_test_client_raises_it():
    with pytest.raises(LookupError):
        await AsyncClient().get("/broken?kind=bug")


async def test_called_without_a_handler_the_view_answers_itself():
    response = await Broken.as_view()(AsyncRequestFactory().get("/?kind=bug"))
    assert (response.status_code, heard) == (500, ["signal"])


def test_under_wsgi_too(settings):
    settings.MIDDLEWARE = []
    response = Client(raise_request_exception=False).get("/broken?kind=bug")
    assert (response.status_code, response.headers["Content-Type"]) == (500, "application/problem+json")
    assert heard == ["signal"]


@pytest.mark.django_db(transaction=True)
async def test_its_transaction_is_rolled_back():
    answer = await exchange(get_asgi_application(), method="POST", path="/writing")
    assert (answer.status, await Author.objects.acount()) == (500, 0)
