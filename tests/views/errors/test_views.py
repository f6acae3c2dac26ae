import sys

import pytest
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.signals import got_request_exception
from django.http import Http404, HttpResponse
from django.test import AsyncClient, Client
from django.urls import path

from daf_views.exceptions import ConflictError

handler400 = "daf_views.errors.handler400"
handler403 = "daf_views.errors.handler403"
handler404 = "daf_views.errors.handler404"
handler500 = "daf_views.errors.handler500"

FAILURES = {
    "bad": (BadRequest("secret"), 400),
    "denied": (PermissionDenied("secret"), 403),
    "missing": (Http404("secret"), 404),
    "conflict": (ConflictError("told"), 409),
    "bug": (LookupError("secret"), 500),
}
BROWSER = "text/html,*/*;q=0.8"


async def afail(request, name):
    raise FAILURES[name][0]


def fail(request, name):
    raise FAILURES[name][0]


def fine(request):
    return HttpResponse()


urlpatterns = [path("async/<name>", afail), path("sync/<name>", fail)]


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("accept", ["*/*", BROWSER])
async def test_django_answers_with_our_handlers(name, kind, accept):
    client = AsyncClient(raise_request_exception=False)
    response = await client.get(f"/{kind}/{name}", headers={"Accept": accept})
    assert response.status_code == FAILURES[name][1]
    assert "secret" not in response.text
    assert response.headers["Content-Type"] == (
        "application/problem+json" if accept == "*/*" else "text/html; charset=utf-8"
    )


@pytest.mark.parametrize("name", FAILURES)
def test_error_views_answer_under_wsgi_too(name):
    response = Client(raise_request_exception=False).get(f"/sync/{name}")
    assert (response.status_code, response.headers["Content-Type"]) == (FAILURES[name][1], "application/problem+json")


async def test_a_bug_is_logged_once(caplog):
    response = await AsyncClient(raise_request_exception=False).get("/async/bug")
    (record,) = caplog.records
    assert record.error_id == response.json()["error_id"]


async def test_a_bug_is_signalled_once():
    errors = []

    def receiver(**kwargs):
        errors.append(sys.exc_info()[0])

    got_request_exception.connect(receiver)
    try:
        await AsyncClient(raise_request_exception=False).get("/async/bug")
    finally:
        got_request_exception.disconnect(receiver)
    assert errors == [LookupError]


async def test_a_path_that_no_url_matches_is_a_problem():
    response = await AsyncClient().get("/nowhere")
    assert (response.status_code, response.json()["title"]) == (404, "Not Found")
