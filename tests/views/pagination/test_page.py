"""Links, shapes, and what a view says of its paginator."""

import pytest
from django.test import AsyncRequestFactory

from daf_views import AsyncAPIView
from daf_views.pagination import CursorPagination, PageNumberPagination, Paginator
from daf_views.pagination.links import link_header, url_with
from tests.project.library.models import Event

requests = AsyncRequestFactory()


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/rows", "http://testserver/rows?page=2"),
        ("/a b/é>", "http://testserver/a%20b/%C3%A9%3E?page=2"),
        ("//evil.example/rows", "http://testserver//evil.example/rows?page=2"),
        ("/rows?page=1&page=3&q=%22%3E", "http://testserver/rows?q=%22%3E&page=2"),
    ],
)
def test_a_url_stays_on_this_host_and_is_escaped(path, url):
    request = requests.get("/")
    request.path, _, query = path.partition("?")
    request.META["QUERY_STRING"] = query
    assert url_with(request, page="2") == url


def test_a_parameter_can_be_left_out():
    assert url_with(requests.get("/rows", {"cursor": "x"}), cursor=None) == "http://testserver/rows"


def test_links_are_those_of_rfc_8288():
    assert (
        link_header({"next": "http://a/b", "last": "http://a/c"})
        == '<http://a/b>; rel="next", <http://a/c>; rel="last"'
    )


async def test_a_host_that_is_not_ours_is_a_bad_request(transactional_db, answer, settings):
    settings.ALLOWED_HOSTS = ["shop.example"]
    response, _ = await answer(PageNumberPagination(), Event.objects.order_by("pk"))
    assert response.status_code == 400


async def test_a_shape_that_is_async_is_refused(transactional_db, answer, caplog):
    async def shape(event):
        return event

    response, _ = await answer(PageNumberPagination(), Event.objects.order_by("pk"), shape=shape)
    assert response.status_code == 500
    assert "is async: a row is shaped by a synchronous function" in str(caplog.records[0].exc_info[1])


async def test_a_view_without_a_paginator_says_so(answer, caplog):
    response, _ = await answer(None, Event.objects.order_by("pk"))
    assert response.status_code == 500
    assert "Rows has no paginator: `pagination = PageNumberPagination(…)`" in str(caplog.records[0].exc_info[1])


def test_a_paginator_may_be_given_as_a_class():
    view = type("Rows", (AsyncAPIView,), {"pagination": PageNumberPagination})
    assert view.pagination == PageNumberPagination(size=50)
    assert view.as_view(pagination=CursorPagination) is not None


@pytest.mark.parametrize("pagination", [object(), [PageNumberPagination()], 50])
def test_a_value_that_is_no_paginator_is_refused_when_the_class_is_made(pagination):
    with pytest.raises(TypeError, match=r"has no `async def paginate"):
        type("Rows", (AsyncAPIView,), {"pagination": pagination})


@pytest.mark.parametrize("name", ["pagination_class", "paginator"])
def test_another_frameworks_name_is_refused(name):
    with pytest.raises(TypeError, match=r"would do nothing: write `pagination = PageNumberPagination"):
        type("Rows", (AsyncAPIView,), {name: PageNumberPagination})


def test_a_paginator_is_a_value():
    assert PageNumberPagination(size=3) == PageNumberPagination(size=3) != CursorPagination(size=3)
    assert issubclass(CursorPagination, Paginator)
    with pytest.raises(AttributeError):
        PageNumberPagination().size = 7
