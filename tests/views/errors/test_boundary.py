"""The boundary under Django's own handler, which lets no exception through to a middleware."""

import asyncio

import pytest
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.handlers import exception as django_exceptions
from django.http import Http404, HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils.decorators import async_only_middleware, sync_only_middleware

from daf_views import AsyncAPIView, AsyncView
from daf_views.errors import boundary
from daf_views.errors.boundary import async_error_middleware
from daf_views.exceptions import ConflictError, StrayCancellationError

BOUNDARY = "daf_views.errors.boundary.async_error_middleware"
FAILURES = {
    "bug": (LookupError("secret"), 500),
    "missing": (Http404("secret"), 404),
    "denied": (PermissionDenied("secret"), 403),
    "conflict": (ConflictError("told"), 409),
}


async def afail(request, name):
    raise FAILURES[name][0]


def fail(request, name):
    raise FAILURES[name][0]


async def fine(request, name):
    return HttpResponse()


@async_only_middleware
def async_failing(get_response):
    async def middleware(request):
        response = await get_response(request)
        raise FAILURES[request.path.rpartition("/")[2]][0]
        return response

    return middleware


@sync_only_middleware
def sync_failing(get_response):
    def middleware(request):
        raise FAILURES[request.path.rpartition("/")[2]][0]

    return middleware


class ViewFailing:
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        raise FAILURES[kwargs["name"]][0]


urlpatterns = [path("async/<name>", afail), path("sync/<name>", fail), path("fine/<name>", fine)]
CASES = {
    "view": ("/async/", []),
    "synchronous view": ("/sync/", []),
    "middleware": ("/fine/", [f"{__name__}.async_failing"]),
    "synchronous middleware": ("/fine/", [f"{__name__}.sync_failing"]),
    "process_view": ("/fine/", [f"{__name__}.ViewFailing"]),
}


@pytest.fixture
def client():
    return AsyncClient(raise_request_exception=False)


@pytest.fixture(autouse=True)
def unpatched(settings):
    settings.DAF_VIEWS = {"PROBLEM_PATHS": ["/"]}
    yield
    boundary.deactivate()


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("case", CASES)
async def test_an_exception_inside_is_a_problem(client, settings, case, name, debug):
    prefix, middleware = CASES[case]
    settings.MIDDLEWARE = [BOUNDARY, *middleware]
    settings.DEBUG = debug
    response = await client.get(prefix + name)
    assert (response.status_code, response.headers["Content-Type"]) == (FAILURES[name][1], "application/problem+json")
    assert debug or ("secret" not in response.text and "Traceback" not in response.text)
    assert name != "conflict" or response.json()["detail"] == "told"


async def test_an_exception_of_the_resolver_is_a_problem(client, settings):
    settings.MIDDLEWARE = [BOUNDARY]
    response = await client.get("/nowhere")
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")


async def test_a_bug_is_logged_once_and_its_signal_reaches_the_test_client(settings, caplog):
    settings.MIDDLEWARE = [BOUNDARY]
    with pytest.raises(LookupError):
        await AsyncClient().get("/async/bug")
    assert [record.name for record in caplog.records] == ["django.request"]


async def stray(request):
    task = asyncio.create_task(asyncio.Event().wait())
    task.cancel()
    await task


urlpatterns.append(path("stray", stray))


async def test_a_cancellation_that_is_not_the_requests_is_a_500(client, settings, caplog):
    settings.MIDDLEWARE = [BOUNDARY]
    assert (await client.get("/stray")).status_code == 500
    assert isinstance(caplog.records[0].exc_info[1], StrayCancellationError)


async def test_a_404_is_logged_once(client, settings, caplog):
    settings.MIDDLEWARE = [BOUNDARY]
    await client.get("/async/missing")
    assert [record.name for record in caplog.records] == ["django.request"]


@pytest.mark.parametrize("debug", [False, True])
async def test_browsers_get_djangos_pages(client, settings, debug):
    settings.MIDDLEWARE = [BOUNDARY]
    settings.DEBUG = debug
    response = await client.get("/async/bug", headers={"Accept": "text/html,*/*;q=0.8"})
    assert response.status_code == 500
    assert ("secret" in response.text) == debug


async def test_without_the_boundary_django_answers_as_ever(client, settings):
    boundary.activate()
    settings.MIDDLEWARE = []
    assert (await client.get("/async/missing")).headers["Content-Type"].startswith("text/html")


async def test_exceptions_are_propagated_where_that_is_wanted(settings):
    settings.MIDDLEWARE = [BOUNDARY]
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    with pytest.raises(LookupError):
        await AsyncClient(raise_request_exception=False).get("/async/bug")


def test_it_works_under_wsgi(settings):
    settings.MIDDLEWARE = [BOUNDARY]
    response = Client(raise_request_exception=False).get("/sync/bug")
    assert (response.status_code, response.headers["Content-Type"]) == (500, "application/problem+json")


async def test_a_handler_that_converts_nothing_is_served_too():
    async def get_response(request):
        raise Http404

    assert (await async_error_middleware(get_response)(RequestFactory().get("/"))).status_code == 404


def test_activation_is_idempotent_and_can_be_undone():
    before = django_exceptions.response_for_exception
    boundary.activate()
    boundary.activate()
    assert django_exceptions.response_for_exception is boundary.response_for_exception
    boundary.deactivate()
    assert django_exceptions.response_for_exception is before


# The source of the response


class API(AsyncAPIView):
    async def get(self, request, name):
        raise FAILURES[name][0]


class Page(AsyncView):
    async def get(self, request, name):
        raise FAILURES[name][0]


def of_the_project(status):
    return lambda *_, **__: HttpResponse(f"the project's {status}", status=status)


urlpatterns += [path("api/<name>", API.as_view()), path("page/<name>", Page.as_view())]
OWN_HANDLERS = {f"handler{status}": of_the_project(status) for status in (400, 403, 404, 500)}
FAILURES |= {"suspicious": (SuspiciousOperation("secret"), 400), "bad": (BadRequest("secret"), 400)}
PROBLEM, PLAIN = "application/problem+json", "text/html; charset=utf-8"


@pytest.fixture
def own_handlers(settings):
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": urlpatterns, **OWN_HANDLERS})
    settings.DAF_VIEWS = {}


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html"])
@pytest.mark.parametrize(
    "target", ["/async/bug", "/sync/denied", "/page/missing", "/async/bad", "/sync/suspicious", "/no"]
)
async def test_a_projects_own_error_handlers_answer_what_they_did(client, settings, own_handlers, target, accept):
    answers = []
    for middleware in ([], [BOUNDARY]):
        settings.MIDDLEWARE = middleware
        answers.append(await client.get(target, headers={"Accept": accept}))
    assert answers[1].content.startswith(b"the project's")
    assert (answers[1].status_code, answers[1].content) == (answers[0].status_code, answers[0].content)


@pytest.mark.parametrize("name", FAILURES)
async def test_an_api_view_answers_with_problems_whatever_the_project_does(client, settings, own_handlers, name):
    settings.MIDDLEWARE = [BOUNDARY]
    response = await client.get(f"/api/{name}")
    assert (response.status_code, response.headers["Content-Type"]) == (FAILURES[name][1], PROBLEM)


async def test_middleware_that_fails_before_an_api_view_was_found_is_a_problem(client, settings, own_handlers):
    settings.MIDDLEWARE = [BOUNDARY, f"{__name__}.sync_failing"]
    assert (await client.get("/api/bug")).headers["Content-Type"] == PROBLEM
    assert (await client.get("/async/bug")).content == b"the project's 500"


async def test_an_api_error_is_a_problem_anywhere(client, settings, own_handlers):
    settings.MIDDLEWARE = [BOUNDARY]
    assert (await client.get("/async/conflict")).status_code == 409


async def test_paths_for_which_problems_are_asked(client, settings, own_handlers):
    settings.MIDDLEWARE, settings.DAF_VIEWS = [BOUNDARY], {"PROBLEM_PATHS": ["/async/"]}
    assert (await client.get("/async/bug")).headers["Content-Type"] == PROBLEM
    assert (await client.get("/async/no/such")).headers["Content-Type"] == PROBLEM
    assert (await client.get("/asynchronous")).content == b"the project's 404"


@pytest.mark.parametrize(
    ("target", "accept", "kind"),
    [
        ("/async/bug", "*/*", "text/html; charset=utf-8"),
        ("/async/bug", "application/json", PROBLEM),
        ("/async/bug", "application/vnd.shop+json", PROBLEM),
        ("/no", "application/problem+json", PROBLEM),
        ("/no", "text/html,application/json;q=0.5", PLAIN),
        ("/page/bug", "*/*", PROBLEM),
        ("/page/bug", "text/html", PLAIN),
    ],
)
async def test_without_handlers_of_the_projects_a_client_that_names_json_gets_it(
    client, settings, target, accept, kind
):
    settings.MIDDLEWARE, settings.DAF_VIEWS = [BOUNDARY], {}
    assert (await client.get(target, headers={"Accept": accept})).headers["Content-Type"] == kind
