import json
import logging
import sys
import threading

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
    ValidationError,
)
from django.core.signals import got_request_exception
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from django.test import AsyncRequestFactory

from daf_orm import PoolClosed, PoolTimeout, TooManyRequests
from daf_orm.test import count_hops
from daf_views.errors.problems import problem_response, respond, response_for, translate
from daf_views.exceptions import ConflictError, NotFoundError, ThrottledError

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
urlpatterns = []


def a_request(accept="*/*"):
    return AsyncRequestFactory().get("/books", headers={"Accept": accept})


def test_a_problem_response_has_the_media_type_and_the_members():
    response = problem_response(409, detail="Sold out.", instance="/orders/7", book=7)
    assert (response.status_code, response.headers["Content-Type"]) == (409, "application/problem+json")
    assert json.loads(response.content) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "Sold out.",
        "instance": "/orders/7",
        "book": 7,
    }


@pytest.mark.parametrize(
    ("exc", "status"),
    [
        (ConflictError(), 409),
        (Http404("secret"), 404),
        (PermissionDenied("secret"), 403),
        (BadRequest("secret"), 400),
        (SuspiciousOperation("secret"), 400),
        (TooManyFieldsSent("secret"), 400),
        (RequestDataTooBig("secret"), 413),
        (MultiPartParserError("secret"), 400),
        (ValidationError("told"), 422),
        (PoolTimeout("secret"), 503),
        (TooManyRequests("secret"), 503),
        (PoolClosed("secret"), 503),
        (ExceptionGroup("secret", [PoolTimeout("secret"), Http404()]), 503),
    ],
)
async def test_a_known_exception_has_its_status_and_keeps_its_text(exc, status):
    response = await response_for(a_request(), exc)
    assert response.status_code == json.loads(response.content)["status"] == status
    assert "secret" not in response.text


def test_a_group_with_an_unknown_exception_means_a_bug():
    assert translate(ExceptionGroup("", [Http404(), LookupError()])) is None


async def test_an_exhausted_pool_says_when_to_come_back(settings):
    settings.DAF_VIEWS = {"RETRY_AFTER": 9}
    assert (await response_for(a_request(), PoolTimeout())).headers["Retry-After"] == "9"


async def test_a_known_exception_costs_no_hop():
    with count_hops(at_most=0):
        await response_for(a_request(), Http404())


async def test_an_unknown_exception_is_an_opaque_500_with_the_id_of_the_log(caplog):
    exc = LookupError("secret")
    request = a_request()
    response = await response_for(request, exc)
    problem = json.loads(response.content)
    (record,) = caplog.records
    assert (record.name, record.levelno, record.error_id) == ("django.request", logging.ERROR, problem.pop("error_id"))
    assert (record.request, record.status_code, record.exc_info[1]) == (request, 500, exc)
    assert problem == {"type": "about:blank", "title": "Internal Server Error", "status": 500, "code": "internal_error"}


def odd_validation_error():
    return ValidationError("100%(wrong)s", params={"right": 1})


@pytest.mark.parametrize(
    "error", [ConflictError(book=object()), ConflictError(headers={"X-Book": "a\nb"}), odd_validation_error()]
)
@pytest.mark.parametrize("accept", ["*/*", BROWSER])
async def test_an_error_that_cannot_be_rendered_is_a_bug(caplog, error, accept):
    responses = [
        await response_for(a_request(accept), error),
        await sync_to_async(respond, thread_sensitive=False)(a_request(accept), error),
    ]
    assert [response.status_code for response in responses] == [500, 500]
    records = [record for record in caplog.records if record.name == "django.request"]
    assert [record.exc_info[1].__context__ is not None for record in records] == [True, True]


async def test_a_log_handler_that_fails_does_not_replace_the_answer(capsys):
    class Broken(logging.Handler):
        def emit(self, record):
            raise LookupError("no mail today")

    handler = Broken()
    logging.getLogger("django.request").addHandler(handler)
    try:
        assert (await response_for(a_request(), ValueError())).status_code == 500
    finally:
        logging.getLogger("django.request").removeHandler(handler)
    assert "no mail today" in capsys.readouterr().err


async def test_with_debug_an_exception_that_cannot_say_what_it_is_has_an_answer(settings):
    class Mute(Exception):
        def __str__(self):
            raise LookupError

    settings.DEBUG = True
    assert (await response_for(a_request(), Mute())).status_code == 500


async def test_with_debug_the_500_has_the_traceback(settings):
    settings.DEBUG = True
    problem = json.loads((await response_for(a_request(), LookupError("told"))).content)
    assert (problem["detail"], problem["exception"]) == ("told", "builtins.LookupError")
    assert problem["traceback"][-1] == "LookupError: told"


async def test_suspicious_requests_are_logged_where_django_does(caplog):
    await response_for(a_request(), SuspiciousOperation("forged"))
    assert [record.name for record in caplog.records] == ["django.security.SuspiciousOperation"]


async def test_an_exhausted_pool_is_logged_with_its_remedy(caplog):
    await response_for(a_request(), PoolTimeout("Raise DAF_ORM['MAX_SIZE']"))
    (record,) = caplog.records
    assert (record.levelno, "MAX_SIZE" in record.getMessage()) == (logging.WARNING, True)


async def test_the_path_cannot_forge_a_line_of_the_log(caplog):
    request = a_request()
    request.path = "/\nERROR forged"
    await response_for(request, LookupError())
    assert "\n" not in caplog.records[0].getMessage()


@pytest.fixture
def receivers():
    connected = []

    def connect(receiver):
        got_request_exception.connect(receiver)
        connected.append(receiver)

    yield connect
    for receiver in connected:
        got_request_exception.disconnect(receiver)


async def test_the_signal_is_sent_with_the_exception_to_be_asked_for_off_the_loop(receivers):
    seen = []

    def receiver(request, **kwargs):
        seen.append((request, sys.exc_info()[1], threading.get_ident()))

    receivers(receiver)
    request, exc = a_request(), LookupError()
    await response_for(request, exc)
    ((seen_request, seen_exc, thread),) = seen
    assert (seen_request, seen_exc) == (request, exc)
    assert thread != threading.get_ident()


async def test_a_receiver_that_fails_does_not_change_the_answer(receivers, caplog):
    def receiver(**kwargs):
        raise RuntimeError

    receivers(receiver)
    assert (await response_for(a_request(), LookupError())).status_code == 500


async def test_no_signal_for_an_error_that_is_meant(receivers):
    receivers(lambda **_: pytest.fail("sent"))
    assert (await response_for(a_request(), ConflictError())).status_code == 409


async def test_exceptions_are_propagated_where_that_is_wanted(settings):
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    with pytest.raises(LookupError):
        await response_for(a_request(), LookupError())
    assert (await response_for(a_request(), Http404())).status_code == 404


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (BROWSER, "text/html"),
        ("text/html;q=0.5, application/json", "application/problem+json"),
        ("text/html;q=0.5, application/json;q=0.4", "text/html"),
        ("text/html;q=0, */*", "application/problem+json"),
        ("application/xml", "application/problem+json"),
        ("*/*", "application/problem+json"),
        ("", "application/problem+json"),
        ("text/html;q=banana", "text/html"),
        (";;;,,/", "application/problem+json"),
    ],
)
async def test_html_is_for_clients_that_prefer_it(accept, content_type):
    response = await response_for(a_request(accept), Http404())
    assert response.headers["Content-Type"].partition(";")[0] == content_type
    assert response.headers["Vary"] == "Accept"


@pytest.mark.parametrize(
    "exc", [Http404("secret"), PermissionDenied("secret"), BadRequest("secret"), LookupError("secret")]
)
async def test_browsers_get_djangos_page(exc):
    response = await response_for(a_request(BROWSER), exc)
    assert "<h1>" in response.text
    assert "secret" not in response.text


@pytest.mark.parametrize("exc", [Http404("told"), LookupError("told")])
async def test_with_debug_browsers_get_djangos_technical_page(exc, settings):
    settings.DEBUG = True
    assert "told" in (await response_for(a_request(BROWSER), exc)).text


async def test_a_page_has_the_headers_of_the_error_and_its_detail_escaped():
    response = await response_for(a_request(BROWSER), ThrottledError("<b>slow</b>", retry_after=3))
    assert (response.status_code, response.headers["Retry-After"]) == (429, "3")
    assert "&lt;b&gt;slow" in response.text


async def test_an_exhausted_pool_is_not_asked_for_a_page():
    with count_hops() as hops:
        response = await response_for(a_request(BROWSER), PoolTimeout())
    assert (response.status_code, hops.by_name["_page"]) == (503, 0)


def handler404(request, exception):
    raise RuntimeError("the handler is broken, too")


async def test_a_handler_that_fails_is_logged_and_replaced(caplog):
    response = await response_for(a_request(BROWSER), NotFoundError("No such book."))
    assert (response.status_code, "No such book." in response.text) == (404, True)
    assert "could not be rendered" in caplog.text


@pytest.mark.parametrize("exc", [LookupError("secret"), Http404("secret"), ConflictError()])
@pytest.mark.parametrize("accept", ["*/*", BROWSER])
async def test_synchronous_code_gets_the_same_answer(exc, accept):
    ours, theirs = respond(a_request(accept), exc), await response_for(a_request(accept), exc)
    assert (ours.status_code, ours.headers) == (theirs.status_code, theirs.headers)
