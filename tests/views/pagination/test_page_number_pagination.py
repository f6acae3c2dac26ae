import pytest
from asgiref.sync import async_to_sync
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daf_orm.test import count_hops
from daf_views.exceptions import BadRequestError
from daf_views.pagination import PageNumberPagination
from tests.project.library.models import Event
from tests.views.pagination.conftest import follow, page

pytestmark = pytest.mark.django_db(transaction=True)
BY_THREE = PageNumberPagination(size=3, max_size=5)


@pytest.fixture
async def events():
    await Event.objects.abulk_create(Event(name=f"e{number}") for number in range(7))
    return Event.objects.order_by("name")


# Responses


@pytest.mark.parametrize(
    ("number", "results", "rels"),
    [
        (1, ["e0", "e1", "e2"], {"first": 1, "next": 2, "last": 3}),
        (2, ["e3", "e4", "e5"], {"first": 1, "prev": 1, "next": 3, "last": 3}),
        (3, ["e6"], {"first": 1, "prev": 2, "last": 3}),
    ],
)
async def test_a_page_has_its_rows_and_links_to_the_others(events, answer, number, results, rels):
    response, body = await answer(BY_THREE, events, {"page": number, "q": "é"}, shape=lambda event: event.name)
    assert body == {"count": 7, "page": number, "pages": 3, "results": results}
    links = [f'<http://testserver/rows?q=%C3%A9&page={there}>; rel="{rel}"' for rel, there in rels.items()]
    assert response.headers["Link"] == ", ".join(links)


async def test_no_rows_are_one_page(answer):
    _, body = await answer(BY_THREE, Event.objects.order_by("pk"))
    assert body == {"count": 0, "page": 1, "pages": 1, "results": []}


async def test_a_page_beyond_the_last_is_not_found(events, answer):
    response, body = await answer(BY_THREE, events, {"page": 4})
    assert (response.status_code, body["detail"]) == (404, "Page 4 does not exist: the last page is 3.")
    assert (await answer(BY_THREE, events, {"page": "9" * 18}))[0].status_code == 404


@pytest.mark.parametrize("number", ["", "0", "-1", "1.0", "one", "1_0", " 1", "+1", "\u0661", "9" * 19, "9" * 5000])
async def test_an_invalid_page_number_is_a_bad_request(events, answer, number):
    response, body = await answer(BY_THREE, events, {"page": number})
    assert (response.status_code, body["code"], body["parameter"]) == (400, "invalid_parameter", "page")
    assert body["detail"] == "The query parameter page must be a whole number of at most 18 digits, from 1 on."


@pytest.mark.parametrize("size", ["0", "6", "x", "9" * 5000])
async def test_a_size_that_is_not_allowed_is_a_bad_request(events, answer, size):
    response, body = await answer(BY_THREE, events, {"page_size": size})
    assert (response.status_code, body["parameter"]) == (400, "page_size")
    assert body["detail"] == "The query parameter page_size must be a whole number from 1 to 5."


async def test_the_size_that_was_chosen_stays_in_the_links(events):
    here = await page(BY_THREE, events, page_size=5)
    assert (len(here.items), here.pages) == (5, 2)
    assert len((await follow(BY_THREE, events, here.links["next"])).items) == 2


async def test_a_size_is_not_read_where_none_may_be_chosen(events):
    assert len((await page(PageNumberPagination(size=3), events, page_size="1000")).items) == 3


async def test_parameters_may_have_other_names(events):
    pagination = PageNumberPagination(size=3, max_size=5, page_param="p", size_param="n")
    here = await page(pagination, events, p=2, n=2, page=9)
    assert [event.name for event in here.items] == ["e2", "e3"]
    assert [each.name for each in pagination.parameters()] == ["p", "n"]


async def test_an_invalid_page_number_costs_no_hop(events):
    with count_hops(at_most=0), pytest.raises(BadRequestError):
        await page(BY_THREE, events, page="x")


async def test_rows_with_the_same_value_are_on_one_page_each(events):
    await Event.objects.aupdate(name="same")
    pages = [await page(PageNumberPagination(size=1), events, page=number) for number in range(1, 8)]
    keys = [here.items[0].pk for here in pages]
    assert keys == sorted(keys)


async def test_a_queryset_without_an_ordering_is_refused():
    with count_hops(at_most=0), pytest.raises(ValueError, match="has no ordering"):
        await page(BY_THREE, Event.objects.all())


async def test_a_slice_has_pages_too(events):
    here = await page(BY_THREE, events[1:5], page=2)
    assert ([event.name for event in here.items], here.count) == (["e4"], 4)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=st.dictionaries(st.sampled_from(["page", "page_size", "other"]), st.text(max_size=30)) | st.text())
def test_no_query_of_a_client_is_a_bug(events, answer, query):
    response, body = async_to_sync(answer)(BY_THREE, events, query)
    assert response.status_code in {200, 400, 404}
    if response.status_code != 200:
        assert response.headers["Content-Type"] == "application/problem+json"
        assert body["code"] in {"invalid_parameter", "no_such_page"}
        assert body["detail"]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(count=st.integers(0, 12), size=st.integers(1, 5))
def test_each_row_is_on_one_page(count, size):
    async def visit():
        await Event.objects.all().adelete()
        await Event.objects.abulk_create(Event(name="same") for _ in range(count))
        pagination, events = PageNumberPagination(size=size), Event.objects.order_by("-name")
        here = await page(pagination, events)
        found = [event.pk for event in here.items]
        for _ in range(here.pages - 1):
            here = await follow(pagination, events, here.links["next"])
            found += [event.pk for event in here.items]
        assert "next" not in here.links
        assert found == [pk async for pk in Event.objects.order_by("pk").values_list("pk", flat=True)]

    async_to_sync(visit)()


async def test_the_body_is_as_the_schema_says(events, answer):
    _, body = await answer(BY_THREE, events)
    schema = BY_THREE.envelope_schema({"type": "object"})
    assert set(body) == set(schema["properties"]) == set(schema["required"])
    assert schema["properties"]["results"] == {"type": "array", "items": {"type": "object"}}
