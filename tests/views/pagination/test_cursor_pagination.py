import json

import pytest
from asgiref.sync import async_to_sync
from django.db.models import Count, F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daf_orm.test import count_hops
from daf_views.exceptions import BadRequestError
from daf_views.pagination import CursorPagination, PageNumberPagination, QueryParameter
from tests.project.library.models import Author, Book, Profile, Publisher, Seat
from tests.views.pagination.conftest import follow, page

pytestmark = pytest.mark.django_db(transaction=True)
BY_TITLE = CursorPagination(size=2, ordering=["title"])


@pytest.fixture
async def books():
    """Ten of two authors: A0 to A4 and B0 to B4, of a publisher every other one."""
    publisher = await Publisher.objects.acreate(name="P")
    for name in ("B", "A"):
        author = await Author.objects.acreate(name=name)
        await Book.objects.abulk_create(
            Book(title=f"{name}{n}", author=author, publisher=publisher if n % 2 else None, stock=n) for n in range(5)
        )


async def visited(pagination, queryset):
    """The items of all pages, by their ``next`` links."""
    here = await page(pagination, queryset)
    items = [*here.items]
    for _ in range(50):
        if "next" not in here.links:
            return items
        here = await follow(pagination, queryset, here.links["next"])
        items += here.items
    raise AssertionError("It goes on for ever.")


# Responses


async def test_a_page_has_its_rows_and_links_to_its_neighbours(books, answer):
    response, body = await answer(BY_TITLE, Book.objects, shape=lambda book: book.title)
    assert body["results"] == ["A0", "A1"]
    assert body["previous"] is None
    first = "http://testserver/rows"
    assert response.headers["Link"] == f'<{first}>; rel="first", <{body["next"]}>; rel="next"'
    response, body = await answer(BY_TITLE, Book.objects, query=body["next"].partition("?")[2], shape=lambda b: b.title)
    assert body["results"] == ["A2", "A3"]
    assert [link.partition("; ")[2] for link in response.headers["Link"].split(", ")] == [
        'rel="first"',
        'rel="prev"',
        'rel="next"',
    ]
    _, body = await answer(BY_TITLE, Book.objects, query=body["previous"].partition("?")[2], shape=lambda b: b.title)
    assert (body["results"], body["previous"]) == (["A0", "A1"], None)


async def test_instances_need_no_shape_and_show_nothing_of_the_keys(books, answer):
    _, body = await answer(CursorPagination(size=1, ordering=["-author__name"]), Book.objects)
    assert set(body["results"][0]) == {field.attname for field in Book._meta.concrete_fields}


async def test_no_rows_are_one_page(books, answer):
    response, body = await answer(BY_TITLE, Book.objects.none())
    assert body == {"next": None, "previous": None, "results": []}
    assert response.headers["Link"] == '<http://testserver/rows>; rel="first"'


async def test_other_parameters_stay_in_the_links(books, answer):
    _, body = await answer(BY_TITLE, Book.objects, query={"q": "a&b", "cursor_": "x"})
    assert body["next"].startswith("http://testserver/rows?q=a%26b&cursor_=x&cursor=")


async def test_a_client_may_choose_the_size_up_to_the_largest(books):
    pagination = CursorPagination(size=2, max_size=4, ordering=["title"])
    here = await page(pagination, Book.objects, page_size="4")
    assert len(here.items) == 4
    assert len((await follow(pagination, Book.objects, here.links["next"])).items) == 4
    with pytest.raises(BadRequestError, match="page_size must be a whole number from 1 to 4"):
        await page(pagination, Book.objects, page_size="5")
    assert len((await page(BY_TITLE, Book.objects, page_size="5")).items) == 2  # not asked


async def test_an_invalid_cursor_costs_no_hop(books):
    with count_hops(at_most=0), pytest.raises(BadRequestError):
        await page(BY_TITLE, Book.objects, cursor="x")


# Querysets of every kind


@pytest.mark.parametrize(
    "ordering", [["-stock"], ["-price"], ["author__name", "-stock"], ["publisher__name"], ["-publisher_id"]]
)
@pytest.mark.parametrize(
    "narrowed",
    [
        lambda books: books,
        lambda books: books.only("title"),
        lambda books: books.defer("stock").select_related("author"),
        lambda books: books.filter(tags=None).distinct(),
        lambda books: books.annotate(number=Count("tags")),
        lambda books: books.order_by("price").reverse(),
    ],
)
async def test_each_row_is_visited_once_in_its_order(books, ordering, narrowed):
    queryset = narrowed(Book.objects.all())
    expected = [book.pk async for book in Book.objects.order_by(*ordering, "pk")]
    assert [book.pk for book in await visited(CursorPagination(size=3, ordering=ordering), queryset)] == expected


async def test_rows_may_be_dicts(books):
    rows = await visited(CursorPagination(size=3, ordering=["-stock", "title"]), Book.objects.values("title"))
    assert rows == [{"title": f"{name}{n}"} for n in reversed(range(5)) for name in "AB"]


@pytest.mark.parametrize("name", ["number", "-number"])
async def test_an_annotation_may_order(books, name):
    await (await Author.objects.aget(name="A")).books.filter(stock=0).adelete()
    authors = Author.objects.annotate(number=Count("books"))
    found = [author.name for author in await visited(CursorPagination(size=1, ordering=[name]), authors)]
    assert found == (["A", "B"] if name == "number" else ["B", "A"])
    aliased = Author.objects.alias(number=Count("books"))
    assert len(await visited(CursorPagination(size=1, ordering=[name]), aliased)) == 2


async def test_a_primary_key_may_have_two_columns():
    await Seat.objects.abulk_create(Seat(row=row, number=n, is_taken=n % 2) for row in "BA" for n in range(3))
    seats = await visited(CursorPagination(size=2, ordering=["-is_taken"]), Seat.objects)
    assert [str(seat) for seat in seats] == ["A1", "B1", "A0", "A2", "B0", "B2"]
    here = await page(PageNumberPagination(size=2), Seat.objects.order_by("-is_taken"), page=2)
    assert [str(seat) for seat in here.items] == ["A0", "A2"]


async def test_a_row_without_a_related_row_is_visited_too(books):
    await Profile.objects.acreate(author=await Author.objects.aget(name="B"), biography="b")
    for ordering in (["profile__biography"], ["-profile__biography"]):
        authors = await visited(CursorPagination(size=1, ordering=ordering), Author.objects)
        assert sorted(author.name for author in authors) == ["A", "B"]


async def test_the_querysets_own_ordering_holds_without_another(books):
    pagination = CursorPagination(size=3)
    assert [a.name for a in await visited(pagination, Author.objects)] == ["A", "B"]  # its Meta's
    titles = [book.title for book in await visited(pagination, Book.objects.order_by("-author__name", "title"))]
    assert titles == [f"{name}{n}" for name in "BA" for n in range(5)]
    reversed_titles = [book.title for book in await visited(pagination, Book.objects.order_by("title").reverse())]
    assert reversed_titles == [f"{name}{n}" for name in "BA" for n in reversed(range(5))]


# Cursors of other lists


async def cursor_of(pagination, path="/rows", queryset=None):
    here = await page(pagination, Book.objects if queryset is None else queryset, path=path)
    return here.links["next"].partition("cursor=")[2]


@pytest.mark.parametrize(
    ("pagination", "path"),
    [
        (CursorPagination(size=2, ordering=["-title"]), "/rows"),
        (CursorPagination(size=2, ordering=["title", "stock"]), "/rows"),
        (CursorPagination(size=2, ordering=["title"]), "/others"),
    ],
)
async def test_a_cursor_of_another_list_is_refused(books, pagination, path):
    with pytest.raises(BadRequestError, match="Invalid cursor") as caught:
        await page(BY_TITLE, Book.objects, cursor=await cursor_of(pagination, path))
    assert caught.value.code == "invalid_cursor"


async def test_a_cursor_of_another_model_is_refused(books):
    pagination = CursorPagination(size=1, ordering=["pk"])
    cursor = await cursor_of(pagination, queryset=Author.objects)
    with pytest.raises(BadRequestError, match="Invalid cursor"):
        await page(pagination, Book.objects, cursor=cursor)


async def test_a_cursor_lasts_as_long_as_its_key(books, settings):
    cursor = await cursor_of(BY_TITLE)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert len((await page(BY_TITLE, Book.objects, cursor=cursor)).items) == 2
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(BadRequestError):
        await page(BY_TITLE, Book.objects, cursor=cursor)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_cursor_with_one_character_changed_is_refused(books, data):
    cursor = async_to_sync(cursor_of)(BY_TITLE)
    at = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != cursor[at]) | st.just(""))
    with pytest.raises(BadRequestError):
        async_to_sync(page)(BY_TITLE, Book.objects, cursor=cursor[:at] + other + cursor[at + 1 :])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=st.dictionaries(st.sampled_from(["cursor", "page_size", "other"]), st.text(max_size=30)) | st.text())
def test_no_query_of_a_client_is_a_bug(books, answer, query):
    pagination = CursorPagination(size=2, max_size=4, ordering=["title"])
    response, body = async_to_sync(answer)(pagination, Book.objects, query)
    assert response.status_code in {200, 400}
    if response.status_code == 400:
        assert response.headers["Content-Type"] == "application/problem+json"
        assert body["code"] in {"invalid_cursor", "invalid_parameter"}
        assert body["detail"]


# Descriptions


async def test_the_body_is_as_the_schema_says(books, answer):
    _, body = await answer(BY_TITLE, Book.objects)
    schema = BY_TITLE.envelope_schema({"type": "object"})
    assert set(body) == set(schema["properties"]) == set(schema["required"])
    assert schema["properties"]["results"] == {"type": "array", "items": {"type": "object"}}


def test_parameters_are_those_that_are_read():
    described = CursorPagination(size=2, max_size=9, cursor_param="after", size_param="n").parameters()
    assert all(isinstance(each, QueryParameter) for each in described)
    assert [(each.name, each.schema) for each in described] == [
        ("after", {"type": "string"}),
        ("n", {"type": "integer", "minimum": 1, "maximum": 9, "default": 2}),
    ]
    assert [each.name for each in BY_TITLE.parameters()] == ["cursor"]
    json.dumps([each.schema for each in described])


# Refused querysets


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Book.objects.order_by("pk")[:5], "is a slice"),
        (lambda: Book.objects.order_by("pk").union(Book.objects.all()), r"is a union\(\)"),
        (lambda: Book.objects.order_by("pk").distinct("pk"), r"is distinct\(\) on fields"),
        (lambda: Book.objects.values("stock").annotate(Count("pk")).order_by("stock"), "grouped or distinct"),
        (lambda: Book.objects.values("stock").distinct().order_by("stock"), "grouped or distinct"),
        (lambda: Book.objects.extra(order_by=["title"]), r"extra\(\)"),
        (lambda: Book.objects.all(), "has no ordering"),
        (lambda: Book.objects.order_by("?"), "is random"),
    ],
)
async def test_a_queryset_that_a_row_cannot_be_found_again_in_is_refused(make, message):
    with pytest.raises(ValueError, match=message), count_hops(at_most=0):
        await page(CursorPagination(), make())


@pytest.mark.parametrize("term", [F("title"), F("title").desc(nulls_last=True)])
async def test_an_expression_is_refused_with_what_to_do(term):
    with pytest.raises(TypeError, match=r"a cursor needs names\. Annotate the queryset"):
        await page(CursorPagination(), Book.objects.order_by(term))
    with pytest.raises(TypeError, match=r"a cursor needs names\. Annotate the queryset"):
        CursorPagination(ordering=[term])


async def test_tuples_have_no_names(books):
    with pytest.raises(TypeError, match="rows that are instances or dicts, not tuple"):
        await page(BY_TITLE, Book.objects.values_list("title"))


@pytest.mark.parametrize("rows", [[1, 2], Book, Book.objects.raw("SELECT 1")])
async def test_rows_that_are_no_queryset_are_refused(rows):
    with pytest.raises(TypeError, match="made of a queryset, not of"):
        await page(BY_TITLE, rows)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ordering": "title"}, TypeError, "must be a tuple of names"),
        ({"ordering": ["?"]}, ValueError, "is random"),
        ({"ordering": [""]}, ValueError, "empty name"),
        ({"ordering": None}, TypeError, "must be a tuple of names"),
        ({"size": 0}, ValueError, "size must be a whole number from 1 on"),
        ({"size": True}, ValueError, "size must be"),
        ({"size": 9, "max_size": 5}, ValueError, "more than max_size"),
        ({"max_size": "9"}, ValueError, "max_size must be"),
        ({"cursor_param": ""}, ValueError, "a different name"),
        ({"cursor_param": "n", "size_param": "n"}, ValueError, "a different name"),
    ],
)
def test_options_are_checked_when_they_are_given(options, error, message):
    with pytest.raises(error, match=message):
        CursorPagination(**options)


def test_a_list_of_names_cannot_be_changed_later():
    names = ["title"]
    pagination = CursorPagination(ordering=names)
    names.append("stock")
    assert pagination.ordering == ("title",)
