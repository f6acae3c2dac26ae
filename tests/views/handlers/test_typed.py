"""Typed handlers: arguments are of the annotated types, and responses are of the annotated return type."""

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import json
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Generic, NewType, NotRequired, TypedDict, TypeVar

import msgspec
import pydantic
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile, UploadedFile
from django.http import HttpResponse
from django.test import AsyncRequestFactory
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from daf_orm import BlockingCallError, database_sync_to_async
from daf_orm.test import count_hops
from daf_views import AsyncAPIView
from daf_views.api import Body, Header, Path, Query, Status
from daf_views.exceptions import ConflictError
from daf_views.pagination import PageNumberPagination
from tests.project.library.models import Author, Book

requests = AsyncRequestFactory()


class LineIn(msgspec.Struct):
    book: int
    quantity: Annotated[int, msgspec.Meta(ge=1)]


class OrderIn(msgspec.Struct, forbid_unknown_fields=True):
    customer: str
    lines: list[LineIn]
    at: dt.datetime | None = None


@dataclasses.dataclass
class DataclassLine:
    book: int
    quantity: Annotated[int, msgspec.Meta(ge=1)]


@dataclasses.dataclass
class DataclassOrder:
    customer: str
    lines: list[DataclassLine]
    at: dt.datetime | None = None


class TypedDictLine(TypedDict):
    book: int
    quantity: Annotated[int, msgspec.Meta(ge=1)]


class TypedDictOrder(TypedDict):
    customer: str
    lines: list[TypedDictLine]


class PydanticLine(pydantic.BaseModel):
    book: int
    quantity: Annotated[int, pydantic.Field(ge=1)]


class PydanticOrder(pydantic.BaseModel):
    customer: str
    lines: list[PydanticLine]
    at: dt.datetime | None = None


ORDERS = [OrderIn, DataclassOrder, TypedDictOrder, PydanticOrder]
ORDER = {"customer": "ada", "lines": [{"book": 1, "quantity": 2}]}


async def respond(view, method="GET", target="/", data=None, headers=None, **kwargs):
    body = b"" if data is None else json.dumps(data).encode()
    request = requests.generic(method, target, body, content_type="application/json" if body else "", headers=headers)
    return await view.as_view()(request, **kwargs)


def content(response):
    return json.loads(response.content)


def taking(kind):
    class Take(AsyncAPIView):
        async def post(self, request, body):
            customer = body["customer"] if isinstance(body, dict) else body.customer
            return self.success([type(body).__name__, customer])

    Take.post.__annotations__["body"] = kind
    return type("Take", (Take,), {})


# Bodies


@pytest.mark.parametrize("kind", ORDERS)
async def test_a_body_is_of_the_type_that_is_annotated(kind):
    expected = "dict" if kind is TypedDictOrder else kind.__name__
    assert content(await respond(taking(kind), "POST", data=ORDER)) == [expected, "ada"]


@pytest.mark.parametrize("kind", ORDERS)
async def test_a_whole_number_may_be_spelt_as_a_float(kind):
    """To JSON Schema, 2.0 is an integer."""
    whole = ORDER | {"lines": [{"book": 1.0, "quantity": 2.0}]}
    assert (await respond(taking(kind), "POST", data=whole)).status_code == 200
    broken = ORDER | {"lines": [{"book": 1.0, "quantity": 2.5}]}
    response = await respond(taking(kind), "POST", data=broken)
    assert response.status_code == 422
    assert {error["pointer"] for error in content(response)["errors"]} == {"#/lines/0/quantity"}


async def test_a_body_may_be_nested_deeper_than_its_type():
    deep = functools.reduce(lambda inner, _: [inner], range(300), 1.0)
    response = await respond(taking(OrderIn), "POST", data=ORDER | {"lines": deep})
    assert response.status_code == 422


@pytest.mark.parametrize("kind", ORDERS)
async def test_all_that_is_wrong_is_told_at_once(kind):
    wrong = {"lines": [{"book": "x", "quantity": 1}, {"quantity": 0}]}
    response = await respond(taking(kind), "POST", data=wrong)
    assert (response.status_code, response["Content-Type"]) == (422, "application/problem+json")
    pointers = {error["pointer"]: error["code"] for error in content(response)["errors"]}
    assert set(pointers) == {"#/customer", "#/lines/0/book", "#/lines/1/book", "#/lines/1/quantity"}
    assert pointers["#/customer"] == pointers["#/lines/1/book"] == "required"


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize(
    "data", [[], 1, "text", {"customer": "ada", "lines": {}}, {"customer": "ada", "lines": [None]}]
)
async def test_data_that_is_no_order_is_refused(kind, data):
    response = await respond(taking(kind), "POST", data=data)
    assert response.status_code == 422
    assert content(response)["errors"][0]["pointer"].startswith("#")


@pytest.mark.parametrize("kind", ORDERS)
async def test_a_body_that_is_missing_is_refused(kind):
    assert (await respond(taking(kind), "POST")).status_code == 422


async def test_an_unknown_field_is_named():
    response = await respond(taking(OrderIn), "POST", data={**ORDER, "a/b": 1})
    [error] = content(response)["errors"]
    assert (error["pointer"], error["code"]) == ("#/a~1b", "unknown")


async def test_the_number_of_reported_mistakes_is_limited():
    response = await respond(taking(OrderIn), "POST", data={"customer": "ada", "lines": [{}] * 1000})
    assert 100 <= len(content(response)["errors"]) < 110


async def test_a_body_may_be_left_out_where_it_has_a_default():
    class Take(AsyncAPIView):
        async def post(self, request, body: OrderIn | None = None):
            return self.success(body)

    assert content(await respond(Take, "POST")) is None


async def test_the_body_is_what_has_fields_by_whatever_name():
    class Take(AsyncAPIView):
        async def post(self, request, order: OrderIn, numbers: Annotated[list[int], Query()] = []):  # noqa: B006
            return self.success([order.customer, numbers])

    assert content(await respond(Take, "POST", "/?numbers=1&numbers=2", ORDER)) == ["ada", [1, 2]]


async def test_a_list_may_be_the_body():
    class Take(AsyncAPIView):
        async def post(self, request, numbers: Annotated[list[int], Body()]):
            return self.success(numbers)

    assert content(await respond(Take, "POST", data=[1, 2])) == [1, 2]
    [error] = content(await respond(Take, "POST", data=[1, "x"]))["errors"]
    assert error["pointer"] == "#/1"


async def test_a_form_may_be_the_body_files_and_all():
    class Upload(msgspec.Struct):
        title: str
        tags: list[str]
        year: int
        cover: UploadedFile

    class Take(AsyncAPIView):
        async def post(self, request, body: Upload):
            return self.success([body.title, body.tags, body.year, body.cover.name])

    data = {"title": "x", "tags": ["a", "b"], "year": "1984", "csrfmiddlewaretoken": "t"}
    request = requests.post("/", {**data, "cover": SimpleUploadedFile("cover.png", b"png")})
    assert content(await Take.as_view()(request)) == ["x", ["a", "b"], 1984, "cover.png"]
    response = await Take.as_view()(requests.post("/", {**data, "year": "x"}))
    assert {each["pointer"] for each in content(response)["errors"]} == {"#/year", "#/cover"}


@pytest.mark.parametrize("value", ["\0", {"a": ["\0"]}, {"\0": 1}])
async def test_a_body_holds_no_nul(value):
    response = await respond(taking(OrderIn), "POST", data=value)
    assert (response.status_code, content(response)["detail"]) == (400, "The body contains a null character.")


# Parameters


class Colour(enum.Enum):
    RED = "red"


class Many(AsyncAPIView):
    async def get(
        self,
        request,
        page: int = 1,
        *,
        ids: list[int] = [],  # noqa: B006
        exact: bool = False,
        colour: Colour | None = None,
        since: dt.date | None = None,
        price: decimal.Decimal = decimal.Decimal(0),
        limit: Annotated[int, Query(alias="max"), msgspec.Meta(le=100)] = 10,
        if_range: Annotated[str, Header()] = "",
        version: Annotated[int, Header(alias="X-Version")] = 0,
    ):
        return self.success([page, ids, exact, colour, since, price, limit, if_range, version])


async def test_parameters_have_their_types_and_defaults():
    assert content(await respond(Many)) == [1, [], False, None, None, "0", 10, "", 0]
    response = await respond(
        Many,
        target="/?page=2&ids=1&ids=2&exact=true&colour=red&since=2026-01-31&price=1.50&max=7&unknown=1",
        headers={"If-Range": "x", "X-Version": "3"},
    )
    assert content(response) == [2, [1, 2], True, "red", "2026-01-31", "1.50", 7, "x", 3]


async def test_all_wrong_parameters_are_told_at_once():
    response = await respond(Many, target="/?page=x&ids=1&ids=y&colour=blue&max=101", headers={"X-Version": "z"})
    assert response.status_code == 422
    told = {(each["location"], each["parameter"]) for each in content(response)["errors"]}
    assert told == {("query", "page"), ("query", "ids"), ("query", "colour"), ("query", "max"), ("header", "X-Version")}


async def test_a_parameter_without_default_is_required():
    class Search(AsyncAPIView):
        async def get(self, request, q: str):
            return self.success(q)

    [error] = content(await respond(Search))["errors"]
    assert error == {"parameter": "q", "location": "query", "detail": "This parameter is required.", "code": "required"}
    assert content(await respond(Search, target="/?q=a&q=b")) == "b"
    assert (await respond(Search, target="/?q=%00")).status_code == 422


@pytest.mark.parametrize("kind", [LineIn, DataclassLine, PydanticLine])
async def test_the_query_may_be_a_type_with_fields(kind):
    class Search(AsyncAPIView):
        async def get(self, request, line, page: int = 1):
            return self.success([type(line).__name__, line.quantity, page])

    Search.get.__annotations__["line"] = Annotated[kind, Query()]
    search = type("Search", (Search,), {})
    assert content(await respond(search, target="/?book=1&quantity=2&page=3")) == [kind.__name__, 2, 3]
    response = await respond(search, target="/?quantity=0")
    assert {each["parameter"] for each in content(response)["errors"]} == {"book", "quantity"}


async def test_an_argument_of_the_url_is_from_the_path():
    class Detail(AsyncAPIView):
        async def get(self, request, pk: int, slug, key: uuid.UUID | None = None):
            return self.success([pk, slug, key])

    assert content(await respond(Detail, target="/?pk=9&slug=q", pk=7, slug="s")) == [7, "s", None]
    assert content(await respond(Detail, pk="7", slug="s")) == [7, "s", None]
    assert (await respond(Detail, pk="x", slug="s")).status_code == 404


async def test_an_argument_that_the_url_lacks_is_named():
    class Detail(AsyncAPIView):
        async def get(self, request, pk: Annotated[int, Path()]):
            return self.success(pk)

    response = await respond(Detail)
    assert response.status_code == 500  # the URLconf's mistake, not the client's


def passed_on(handler):
    @functools.wraps(handler)
    async def wrapper(self, request, *args, **kwargs):
        return await handler(self, request, *args, **kwargs)

    return wrapper


async def test_a_decorated_handler_is_read_through_its_decorators():
    @method_decorator(never_cache, name="dispatch")
    class Search(AsyncAPIView):
        @passed_on
        async def get(self, request, page: int = 1) -> list[int]:
            return [page]

    response = await respond(Search, target="/?page=2")
    assert (content(response), "no-store" in response["Cache-Control"]) == ([2], True)


async def test_a_head_request_is_a_get():
    assert (await respond(Many, "HEAD", "/?page=x")).status_code == 422


# Answers


class OrderOut(msgspec.Struct):
    id: int
    total: decimal.Decimal
    at: dt.datetime | None = None


@dataclasses.dataclass
class DataclassOut:
    id: int
    total: decimal.Decimal


class PydanticOut(pydantic.BaseModel):
    id: int
    total: decimal.Decimal


def answering(kind, value):
    class Answer(AsyncAPIView):
        async def get(self, request):
            return value

    Answer.get.__annotations__["return"] = kind
    return type("Answer", (Answer,), {})


class Plain:
    id, total, secret = 1, decimal.Decimal("1.50"), "secret"


@pytest.mark.parametrize("kind", [OrderOut, DataclassOut, PydanticOut])
@pytest.mark.parametrize("make", [lambda kind: kind(id=1, total=decimal.Decimal("1.50")), lambda _: Plain()])
async def test_a_return_value_is_answered_as_annotated(kind, make):
    response = await respond(answering(kind, make(kind)))
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert {"id": 1, "total": "1.50"}.items() <= content(response).items()
    assert b"secret" not in response.content


async def test_headers_go_with_what_a_handler_returns_and_with_nothing_else():
    class Orders(AsyncAPIView):
        async def post(self, request, *, paged: bool = False) -> Annotated[OrderOut, Status(201)]:
            self.response_headers["Location"] = "/orders/1"
            return HttpResponse() if paged else Plain()

        async def put(self, request) -> OrderOut:
            return Plain()

        async def delete(self, request) -> None:
            self.response_headers["Location"] = "/orders/1"
            raise ConflictError

    made = await respond(Orders, "POST")
    assert (made.status_code, made["Location"], content(made)["id"]) == (201, "/orders/1", 1)
    assert "Location" not in (await respond(Orders, "POST", "/?paged=1")).headers
    assert "Location" not in (await respond(Orders, "PUT")).headers
    assert "Location" not in (await respond(Orders, "DELETE")).headers


@pytest.mark.parametrize("kind", [OrderOut, PydanticOut, DataclassOut])
async def test_a_return_value_of_another_type_is_a_bug(kind, caplog):
    assert (await respond(answering(kind, {"id": "x"}))).status_code == 500
    assert "The return value of" in caplog.text


@pytest.mark.parametrize(("setting", "status"), [(None, 500), (True, 500), (False, 200)])
async def test_an_instance_is_looked_at_in_tests_and_where_it_is_wanted(settings, setting, status):
    settings.DAF_VIEWS = {"VALIDATE_OUTPUT": setting}
    assert (await respond(answering(OrderOut, OrderOut(id="x", total="y")))).status_code == status


async def test_a_status_may_be_annotated():
    assert (await respond(answering(Annotated[OrderOut, Status(201)], Plain()))).status_code == 201


async def test_none_is_no_content():
    response = await respond(answering(None, None))
    assert (response.status_code, response.content, response.headers.get("Content-Type")) == (204, b"", None)


async def test_a_response_is_left_alone():
    kind = OrderOut | HttpResponse
    response = await respond(answering(kind, HttpResponse("text", status=202)))
    assert (response.status_code, response.content) == (202, b"text")
    assert content(await respond(answering(kind, Plain())))["id"] == 1


@pytest.mark.parametrize("status", [99, 404, 302, "201"])
def test_a_status_is_a_success(status):
    with pytest.raises(TypeError, match="is not a success"):
        Status(status)


@pytest.mark.parametrize("kind", [Any, HttpResponse])
async def test_an_annotation_that_says_nothing_promises_nothing(kind):
    assert (await respond(answering(kind, HttpResponse("text")))).content == b"text"


# Models


class AuthorOut(msgspec.Struct):
    name: str


class BookOut(msgspec.Struct):
    id: int
    title: str
    author: AuthorOut


class PydanticAuthor(pydantic.BaseModel):
    name: str


class PydanticBook(pydantic.BaseModel):
    id: int
    title: str
    author: PydanticAuthor


@pytest.fixture
async def books(db):
    author = await Author.objects.acreate(name="Ada")
    return [await Book.objects.acreate(title=f"{number}", author=author) for number in range(3)]


@pytest.mark.parametrize("kind", [BookOut, PydanticBook])
async def test_a_queryset_is_answered_in_one_hop(books, kind, django_assert_num_queries):
    view = answering(list[kind], Book.objects.select_related("author").order_by("pk"))
    with count_hops() as hops, django_assert_num_queries(1):
        response = await respond(view)
    assert hops.total == 1
    first = {"id": books[0].pk, "title": "0", "author": {"name": "Ada"}}
    assert (content(response)[0], len(content(response))) == (first, 3)


@pytest.mark.parametrize("kind", [BookOut, PydanticBook])
async def test_a_relation_that_was_not_loaded_is_a_blocking_call(books, kind, blocking_calls):
    book = await Book.objects.aget(pk=books[0].pk)
    with pytest.raises(BlockingCallError, match="select_related"):
        await raising(answering(kind, book))
    blocking_calls.clear()


MAKERS = (
    lambda book: Book.objects.get(pk=book.pk),
    lambda _: [*Book.objects.all()],
    lambda _: Book.objects.all(),
)


@pytest.mark.parametrize("makes", MAKERS)
async def test_the_call_is_named_at_the_handler_that_returned_the_row(books, makes, blocking_calls):
    made = await database_sync_to_async(makes)(books[0])

    class View(AsyncAPIView):
        async def get(self, request) -> BookOut | list[BookOut]:
            return made

    with pytest.raises(BlockingCallError) as caught:
        await raising(View)
    blocking_calls.clear()

    call = caught.value.call
    assert (call.filename, call.lineno) == (__file__, View.get.__code__.co_firstlineno)
    assert call.function.endswith("View.get")
    assert (call.module, call.operation, call.model, call.field) == (
        *(__name__, "ForwardManyToOneDescriptor", "library.Book", "author"),
    )
    assert call.suggestion.startswith('Load "author" before View.get() returns: select_related')


async def raising(view):
    class Raising(view):
        async def handle_exception(self, exc):
            raise exc

    return await respond(Raising)


@pytest.mark.parametrize("kind", [BookOut, PydanticBook])
async def test_a_list_comes_in_pages_where_there_is_a_paginator(books, kind, django_assert_num_queries):
    view = answering(list[kind], Book.objects.select_related("author").order_by("pk"))
    view.pagination = PageNumberPagination(size=2)
    with count_hops() as hops, django_assert_num_queries(2):
        response = await respond(view)
    assert hops.total == 1
    assert content(response) == {
        "count": 3,
        "page": 1,
        "pages": 2,
        "results": [{"id": book.pk, "title": book.title, "author": {"name": "Ada"}} for book in books[:2]],
    }
    assert 'rel="next"' in response["Link"]
    assert (await respond(view, target="/?page=3")).status_code == 404


class AuthorWithBooks(msgspec.Struct):
    name: str
    books: list["TitleOut"]


class TitleOut(msgspec.Struct):
    title: str


async def test_a_relation_to_many_is_a_list_where_it_was_prefetched(books):
    author = await Author.objects.prefetch_related("books").aget()
    with count_hops(at_most=0):
        response = await respond(answering(AuthorWithBooks, author))
    assert [each["title"] for each in content(response)["books"]] == ["0", "1", "2"]


# Refused handlers


def test_a_get_has_no_body():
    with pytest.raises(
        TypeError, match=r"'order' would be the body, which GET does not have: write Annotated\[…, Query\(\)\]"
    ):

        class Take(AsyncAPIView):
            async def get(self, request, order: OrderIn):
                pass


def test_there_is_one_body():
    with pytest.raises(TypeError, match="two parameters that are the body"):

        class Take(AsyncAPIView):
            async def post(self, request, order: OrderIn, line: LineIn):
                pass


def test_a_type_that_no_library_can_check_is_named():
    with pytest.raises(TypeError, match=r"No installed library can check .*\(msgspec: .*; pydantic: "):

        class Take(AsyncAPIView):
            async def post(self, request, body: "AsyncAPIView | type[int]"):
                pass


async def test_a_handler_without_annotations_costs_nothing():
    class Take(AsyncAPIView):
        async def get(self, request, pk):
            return self.success(pk)

    assert Take.handler_signatures == {}
    assert content(await respond(Take, pk=7)) == 7


# Found in reviews


class Node(msgspec.Struct):
    name: str
    children: list["Node"] = []


class Patch(msgspec.Struct):
    lines: list[LineIn] | msgspec.UnsetType = msgspec.UNSET
    meta: dict[str, LineIn] | msgspec.UnsetType = msgspec.UNSET
    pair: tuple[LineIn, ...] = ()


class Optional(TypedDict):
    name: str
    number: NotRequired[int]


class Array(msgspec.Struct, array_like=True):
    id: int
    name: str


Item = TypeVar("Item")


@dataclasses.dataclass
class PageOf(Generic[Item]):
    items: list[Item]
    number: int


class Sets(msgspec.Struct):
    names: set[Any]


class Priced(msgspec.Struct):
    price: decimal.Decimal


@pytest.mark.parametrize(
    ("kind", "data", "pointers"),
    [
        (Patch, {"lines": [{"book": 1, "quantity": 0}]}, {"#/lines/0/quantity"}),
        (Patch, {"meta": {"k": {"book": "x", "quantity": 1}}}, {"#/meta/k/book"}),
        (Patch, {"pair": [{"book": "x"}]}, {"#/pair/0/book", "#/pair/0/quantity"}),
        (PageOf[LineIn], {"items": [{"book": 1}], "number": "x"}, {"#/items/0/quantity", "#/number"}),
        (Optional, {"name": 1, "number": "x"}, {"#/name", "#/number"}),
        (OrderIn, {"customer": 1, "lines": [], "a": 1, "b": 2}, {"#/customer", "#/a", "#/b"}),
        (Array, {}, {"#"}),
        (Sets, {"names": [1, [], [2]]}, {"#/names/1", "#/names/2"}),
        (Priced, {"price": "NaN"}, {"#/price"}),
        (Priced, {"price": "-sNaN"}, {"#/price"}),
        (Priced, {"price": "Infinity"}, {"#/price"}),
    ],
)
async def test_mistakes_are_found_wherever_they_are(kind, data, pointers):
    class Take(AsyncAPIView):
        async def post(self, request, body):
            return self.success(None)

    Take.post.__annotations__["body"] = kind
    response = await respond(type("Take", (Take,), {}), "POST", data=data)
    assert response.status_code == 422
    assert {error["pointer"] for error in content(response)["errors"]} == pointers


def nested(depth, **last):
    data = {"name": "x", **last}
    for _ in range(depth):
        data = {"name": "x", "children": [data]}
    return data


@pytest.mark.parametrize("kind", [Node, PydanticOrder])
@pytest.mark.parametrize("last", [{}, {"name": 1}])
async def test_deeply_nested_data_is_no_server_error(kind, last):
    assert (await respond(taking_any(kind), "POST", data=nested(300, **last))).status_code in {200, 400, 422}


def taking_any(kind):
    class Take(AsyncAPIView):
        async def post(self, request, body):
            return self.success(None)

    Take.post.__annotations__["body"] = kind
    return type("Take", (Take,), {})


async def test_a_large_body_is_looked_at_in_a_thread_and_not_for_ever():
    numbers = [1] * 100_000
    with count_hops() as hops:
        response = await respond(taking_any(list[int]), "POST", data=[*numbers, "x"])
    assert response.status_code == 422
    assert hops.total == 2  # for its JSON, and for its type
    [error] = content(response)["errors"]
    assert error["pointer"] == "#/100000"


class PydanticStrict(pydantic.BaseModel, strict=True):
    day: dt.date
    key: uuid.UUID


class PydanticAliases(pydantic.BaseModel):
    low: int = pydantic.Field(validation_alias="min", serialization_alias="lowest")


class PydanticPets(pydantic.BaseModel):
    pet: PydanticLine | list[int]
    names: dict[str, int]


async def test_pydantic_takes_what_its_models_say():
    data = {"day": "2026-01-31", "key": str(uuid.UUID(int=7))}
    assert (await respond(taking_any(PydanticStrict), "POST", data=data)).status_code == 200

    class Search(AsyncAPIView):
        async def get(self, request, q: Annotated[PydanticAliases, Query()]) -> PydanticAliases:
            return q

    assert content(await respond(Search, target="/?min=3")) == {"lowest": 3}


async def test_pydantics_places_are_those_of_the_body():
    data = {"pet": {"book": "x", "quantity": 1}, "names": {"a": "x"}}
    response = await respond(taking_any(PydanticPets), "POST", data=data)
    assert {error["pointer"] for error in content(response)["errors"]} == {"#/pet/book", "#/pet", "#/names/a"}


class Secretive(OrderOut):
    password: str = "secret"


@dataclasses.dataclass
class SecretiveDataclass(DataclassOut):
    password: str = "secret"


class Holder(msgspec.Struct):
    order: OrderOut
    orders: dict[str, OrderOut]
    maybe: OrderOut | None = None


@pytest.mark.parametrize("setting", [True, False])
async def test_nothing_gets_out_that_is_not_annotated(settings, setting):
    settings.DAF_VIEWS = {"VALIDATE_OUTPUT": setting}
    one = Secretive(id=1, total=decimal.Decimal(1))
    held = Holder(one, {"a": one}, one)
    for kind, value in [
        (OrderOut, one),
        (OrderOut | None, one),
        (list[OrderOut], [one]),
        (dict[str, OrderOut], {"a": one}),
        (Holder, held),
        (DataclassOut, SecretiveDataclass(id=1, total=decimal.Decimal(1))),
        (OrderOut, {"id": 1, "total": 1, "password": "secret"}),
    ]:
        response = await respond(answering(kind, value))
        assert (response.status_code, b"secret" in response.content) == (200, False), kind


class TypedDictOut(TypedDict):
    id: int


async def test_a_typed_dict_may_be_the_answer():
    assert content(await respond(answering(TypedDictOut, {"id": 1, "secret": 2}))) == {"id": 1}


async def test_values_without_names_hold_no_password(db):
    await User.objects.acreate(username="ada", password="hash")
    for view in (answering(list[dict], User.objects.values()), answering(list[dict], User.objects.values())):
        view.pagination = PageNumberPagination() if view.pagination is None else None
        assert (await respond(view)).status_code == 500
    assert (await respond(answering(list[dict], User.objects.values("username")))).status_code == 200


class PydanticComputed(pydantic.BaseModel, extra="forbid"):
    id: int
    hidden: int = pydantic.Field(default=1, exclude=True)

    @pydantic.computed_field
    @property
    def double(self) -> int:
        return self.id * 2


async def test_computed_and_excluded_fields_of_pydantic_are_as_annotated():
    assert content(await respond(answering(PydanticComputed, PydanticComputed(id=2)))) == {"id": 2, "double": 4}


@pytest.mark.parametrize("status", [204, 205])
def test_a_status_without_content_has_none(status):
    with pytest.raises(TypeError, match="has no content"):
        answering(Annotated[OrderOut, Status(status)], None)


def test_an_impossible_return_type_is_refused_when_the_class_is_made():
    with pytest.raises(TypeError, match=r"get\(\) returns .*Author"):
        answering(Author, None)


async def test_a_handler_of_head_is_no_get():
    class Own(AsyncAPIView):
        async def get(self, request, page: int = 1):
            return self.success(page)

        async def head(self, request):
            return self.success("own")

    assert content(await respond(Own, "HEAD", "/?page=x")) == "own"


async def test_parameters_after_a_slash_are_those_that_they_are():
    class Search(AsyncAPIView):
        async def get(self, request, /, page: int = 1, size: int = 2):
            return self.success([page, size])

    assert content(await respond(Search, target="/?page=5")) == [5, 2]


async def test_a_type_with_fields_may_be_left_out_of_the_query():
    class Search(AsyncAPIView):
        async def get(self, request, line: Annotated[LineIn | None, Query()] = None):
            return self.success(line)

    assert content(await respond(Search, target="/?other=1")) is None
    assert (await respond(Search, target="/?book=1")).status_code == 422


Names = NewType("Names", list[str])


async def test_a_list_is_one_by_whatever_name():
    class Search(AsyncAPIView):
        async def get(
            self,
            request,
            names: Annotated[Names, Query()] = (),
            more: Sequence[int] = (),
            tags: Annotated[list[str], Header()] = (),
        ):
            return self.success([names, list(more), tags])

    response = await respond(Search, target="/?names=a&names=b&more=1", headers={"Tags": "x, y"})
    assert content(response) == [["a", "b"], [1], ["x", "y"]]


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity"])
async def test_a_number_is_finite(text):
    class Search(AsyncAPIView):
        async def get(self, request, q: float = 0, price: decimal.Decimal = decimal.Decimal(0)):
            return self.success([q, price])

    for name in ("q", "price"):
        assert (await respond(Search, target=f"/?{name}={text}")).status_code == 422


async def test_a_path_holds_no_nul():
    class Detail(AsyncAPIView):
        async def get(self, request, slug: str):
            return self.success(slug)

    assert (await respond(Detail, slug="a\0b")).status_code == 404


async def test_several_files_are_a_list():
    class Upload(msgspec.Struct):
        files: list[UploadedFile]

    class Take(AsyncAPIView):
        async def post(self, request, body: Upload):
            return self.success([each.name for each in body.files])

    files = [SimpleUploadedFile(name, b"x") for name in ("a.txt", "b.txt")]
    assert content(await Take.as_view()(requests.post("/", {"files": files}))) == ["a.txt", "b.txt"]


def test_a_handler_takes_a_request():
    with pytest.raises(TypeError, match="takes no request: write `async def post"):

        class Take(AsyncAPIView):
            async def post(self):
                pass


def test_a_body_whose_type_is_not_known_is_named():
    with pytest.raises(TypeError, match="the annotation of 'body' is not known when the class is made"):

        class Take(AsyncAPIView):
            async def post(self, request, body: "Later"):  # noqa: F821 - that is the point
                pass


async def test_a_return_value_without_an_annotation_is_no_response():
    class Answer(AsyncAPIView):
        async def get(self, request):
            return {"a": 1}

    with pytest.raises(
        TypeError, match=r"returned dict, not an HttpResponse. Return self.success\(data\), or annotate"
    ):
        await raising(Answer)
