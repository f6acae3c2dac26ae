"""The document of API views, and the page that shows it."""

import json
import re
import uuid
from typing import Annotated

import msgspec
import pydantic
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.urls import include, path, re_path
from openapi_spec_validator import OpenAPIV31SpecValidator

from daf_views import AsyncAPIView
from daf_views.api import Header, JSONParser, Query, Status
from daf_views.auth import (
    APIKeyAuthentication,
    BearerAuthentication,
    IsAuthenticated,
    IsAuthenticatedOrReadOnly,
    SessionAuthentication,
)
from daf_views.conditional import ConditionalView, parse_tags
from daf_views.exceptions import BadRequestError, ConflictError
from daf_views.idempotency import IdempotencyKey
from daf_views.openapi import document, raises
from daf_views.openapi import views as openapi_views
from daf_views.pagination import PageNumberPagination
from daf_views.pagination.query_parameters import read_number
from daf_views.throttling import AsyncRateThrottle

pytestmark = pytest.mark.urls(__name__)


class LineIn(msgspec.Struct):
    book: int
    quantity: Annotated[int, msgspec.Meta(ge=1)]


class OrderIn(msgspec.Struct):
    customer: str
    lines: list[LineIn]


class OrderOut(msgspec.Struct):
    id: int
    customer: str


class Other:
    class OrderOut(msgspec.Struct):
        number: uuid.UUID


class Filters(msgspec.Struct):
    q: str
    exact: bool = False


class PydanticOut(pydantic.BaseModel):
    name: str
    parent: "PydanticOut | None" = None


class Orders(AsyncAPIView):
    """Orders of the shop."""

    authentication = (SessionAuthentication, BearerAuthentication, APIKeyAuthentication)
    throttle = AsyncRateThrottle("1000/minute")
    parsers = (JSONParser,)

    async def get(self, request, *, page: int = 1, filters: Annotated[Filters, Query()]) -> list[OrderOut]:
        """List orders.

        The newest comes first.
        """

    @raises(ConflictError)
    async def post(
        self, request, body: OrderIn, trace: Annotated[str, Header(alias="X-Trace")] = ""
    ) -> Annotated[OrderOut, Status(201)]:
        pass


class Order(AsyncAPIView):
    authentication = (BearerAuthentication,)
    permissions = (IsAuthenticated,)
    deadline = 1.0

    async def get(self, request, pk: int) -> Other.OrderOut:
        pass

    async def delete(self, request, pk) -> None:
        pass


class Pages(ConditionalView, AsyncAPIView):
    pagination = PageNumberPagination(size=2, max_size=10)
    idempotency = IdempotencyKey(required=True)
    requires_if_match = True

    async def get(self, request) -> list[OrderOut]:
        pass

    async def post(self, request, body: OrderIn) -> OrderOut:
        pass

    async def put(self, request, body: OrderIn) -> OrderOut:
        pass


class Tree(AsyncAPIView):
    async def get(self, request, key: uuid.UUID) -> PydanticOut:
        pass

    async def put(self, request, key):
        pass


class Board(AsyncAPIView):
    authentication = (BearerAuthentication,)
    permissions = (IsAuthenticatedOrReadOnly,)
    enforces_csrf = False

    async def get(self, request) -> OrderOut:
        pass

    async def put(self, request, body: OrderIn) -> OrderOut:
        pass


urlpatterns = [
    path("orders/", Orders.as_view()),
    path("orders/<int:pk>/", Order.as_view()),
    path("tree/", include([re_path(r"^(?P<key>[-0-9a-f]+)/$", Tree.as_view())])),
    path("pages/", Pages.as_view()),
    path("board/", Board.as_view()),
    path("html/", lambda _: None),
    path("api/", include("daf_views.openapi.urls")),
]


@pytest.fixture
def api():
    made = json.loads(json.dumps(document()))
    OpenAPIV31SpecValidator(made).validate()
    return made


def test_every_api_view_has_its_paths_and_methods(api):
    assert {path: set(item) for path, item in api["paths"].items()} == {
        "/orders/": {"get", "post"},
        "/orders/{pk}/": {"get", "delete"},
        "/board/": {"get", "put"},
        "/pages/": {"get", "post", "put"},
        "/tree/{key}/": {"get", "put"},
    }
    assert len({operation["operationId"] for item in api["paths"].values() for operation in item.values()}) == 11


def test_an_operation_is_described_by_its_docstrings(api):
    get, post = api["paths"]["/orders/"]["get"], api["paths"]["/orders/"]["post"]
    assert (get["summary"], get["description"]) == ("List orders.", "The newest comes first.")
    assert post["summary"] == "Orders of the shop."


def test_parameters_are_those_of_the_handler(api):
    parameters = {(each["in"], each["name"]): each for each in api["paths"]["/orders/"]["get"]["parameters"]}
    assert parameters["query", "page"] == {
        "name": "page",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "default": 1},
    }
    assert (parameters["query", "q"]["required"], parameters["query", "exact"]["required"]) == (True, False)
    assert ("header", "X-Trace") in {
        (each["in"], each["name"]) for each in api["paths"]["/orders/"]["post"]["parameters"]
    }
    [pk] = api["paths"]["/orders/{pk}/"]["get"]["parameters"]
    assert (pk["in"], pk["required"], pk["schema"]) == ("path", True, {"type": "integer", "minimum": 0})
    [key] = api["paths"]["/tree/{key}/"]["get"]["parameters"]
    assert key["schema"]["format"] == "uuid"


def test_a_body_has_the_schema_of_its_type(api):
    body = api["paths"]["/orders/"]["post"]["requestBody"]
    assert body == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/OrderIn"}}},
    }
    assert api["components"]["schemas"]["OrderIn"]["properties"]["lines"]["items"] == {
        "$ref": "#/components/schemas/LineIn"
    }
    assert set(api["paths"]["/tree/{key}/"]["put"]["requestBody"]["content"]) == {
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    }


def test_two_classes_of_one_name_are_two_schemas(api):
    def answer(path, method, status):
        return api["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]

    assert answer("/orders/", "post", "201") == {"$ref": "#/components/schemas/OrderOut"}
    assert answer("/orders/", "get", "200") == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/OrderOut"},
    }
    assert answer("/orders/{pk}/", "get", "200") == {"$ref": "#/components/schemas/OrderOut2"}
    assert "PydanticOut" in api["components"]["schemas"]


def test_responses_are_those_that_may_come(api):
    def statuses(path, method):
        return set(api["paths"][path][method]["responses"])

    always = {"500", "503"}
    assert statuses("/orders/", "get") == always | {"200", "401", "422", "429"}
    post = {"201", "400", "401", "403", "408", "409", "413", "415", "422", "429"}
    assert statuses("/orders/", "post") == always | post
    assert statuses("/orders/{pk}/", "get") == always | {"200", "401", "403", "404", "504"}
    delete = {"204", "400", "401", "403", "404", "408", "411", "413", "415", "504"}
    assert statuses("/orders/{pk}/", "delete") == always | delete
    assert "2XX" in statuses("/tree/{key}/", "put")
    assert api["paths"]["/orders/"]["get"]["responses"]["429"] == {"$ref": "#/components/responses/TooManyRequests"}
    assert api["components"]["responses"]["TooManyRequests"]["headers"]["Retry-After"]


def test_pages_conditions_and_idempotency_keys_are_said(api):
    get, post, put = (api["paths"]["/pages/"][method] for method in ("get", "post", "put"))
    assert {each["name"] for each in get["parameters"]} == {"page", "page_size", "If-None-Match"}
    answer = get["responses"]["200"]
    assert set(answer["headers"]) == {"Link", "ETag"}
    results = answer["content"]["application/json"]["schema"]["properties"]["results"]
    assert results == {"type": "array", "items": {"$ref": "#/components/schemas/OrderOut"}}
    assert {"304", "400", "404"} <= set(get["responses"])
    [key] = post["parameters"]
    assert (key["name"], key["in"], key["required"]) == ("Idempotency-Key", "header", True)
    assert {"400", "409", "412", "422", "428"} <= set(post["responses"]) | set(put["responses"])
    [match] = put["parameters"]
    assert (match["name"], match["in"], match["required"]) == ("If-Match", "header", True)


@pytest.mark.parametrize(
    "value", ["*", '"7"', 'W/"7"', '"7", "8"', ' , "7",,"8" ,', '""', "7", '"7', '"7" "8"', "", "* *"]
)
def test_tags_are_described_as_they_are_read(api, value):
    [match] = api["paths"]["/pages/"]["put"]["parameters"]
    try:
        parse_tags(value)
    except ValueError:
        assert not re.search(match["schema"]["pattern"], value)
    else:
        assert re.search(match["schema"]["pattern"], value)


def test_the_description_of_the_largest_page_matches_its_parser(api, rf):
    [page] = [each for each in api["paths"]["/pages/"]["get"]["parameters"] if each["name"] == "page"]
    largest = page["schema"]["maximum"]
    assert read_number(rf.get("/", {"page": largest}), "page", default=1) == largest
    with pytest.raises(BadRequestError):
        read_number(rf.get("/", {"page": largest + 1}), "page", default=1)


def test_security_is_that_of_the_view(api):
    assert api["paths"]["/orders/"]["get"]["security"] == [{"session": []}, {"bearer": []}, {"api_key": []}, {}]
    assert api["paths"]["/orders/{pk}/"]["get"]["security"] == [{"bearer": []}]
    assert "security" not in api["paths"]["/tree/{key}/"]["get"]
    assert api["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}


def test_a_public_operation_has_optional_security(api):
    get, put = api["paths"]["/board/"]["get"], api["paths"]["/board/"]["put"]
    assert (get["security"], "403" in get["responses"]) == ([{"bearer": []}, {}], False)
    assert (put["security"], "403" in put["responses"]) == ([{"bearer": []}], True)


def test_it_says_what_the_settings_do(settings):
    settings.DAF_VIEWS = {"OPENAPI": {"title": "Shop", "version": "2"}, "THROTTLED_PATHS": {"/tree": "1/day"}}
    made = document()
    assert made["info"] == {"title": "Shop", "version": "2"}
    assert "429" in made["paths"]["/tree/{key}/"]["get"]["responses"]


@pytest.mark.parametrize("errors", [(), (ValueError,), (ConflictError("x"),)])
def test_only_errors_of_apis_are_raised(errors):
    with pytest.raises(TypeError, match="subclasses of APIError"):
        raises(*errors)


async def test_it_is_served(async_client):
    response = await async_client.get("/api/openapi.json")
    assert response["Content-Type"] == "application/json"
    assert "/orders/" in response.json()["paths"]


async def test_the_page_has_all_it_needs_and_nothing_from_elsewhere(async_client):
    response = await async_client.get("/api/docs/")
    page = response.content.decode()
    assert "http" not in page
    assert "<script>" not in page and "<style" not in page  # noqa: PT018 - for a Content-Security-Policy
    assert 'data-document="/api/openapi.json"' in page
    for name, (_, content_type) in openapi_views.ASSETS.items():
        assert name in page
        asset = await async_client.get(f"/api/docs/{name}")
        assert (asset.status_code, asset["Content-Type"]) == (200, content_type)
        assert len(asset.content) > 100


@pytest.mark.parametrize("name", ["other.js", "..%2F..%2F__init__.py", "redoc.standalone.js"])
async def test_no_other_file_is_served(async_client, name):
    assert (await async_client.get(f"/api/docs/{name}")).status_code == 404


async def test_without_the_assets_it_says_what_is_missing(async_client, monkeypatch):
    monkeypatch.setattr(openapi_views, "find_spec", lambda _: None)
    with pytest.raises(ImproperlyConfigured, match=r'pip install "django-daf\[openapi\]"'):
        await async_client.get("/api/docs/")
    assert (await async_client.get("/api/docs/swagger-ui.css")).status_code == 404


def test_the_command_writes_and_compares(tmp_path, capsys):
    call_command("daf_openapi")
    printed = capsys.readouterr().out
    assert "/orders/" in json.loads(printed)["paths"]
    file = tmp_path / "openapi.json"
    with pytest.raises(CommandError, match="is not up to date"):
        call_command("daf_openapi", file=file, check=True)
    call_command("daf_openapi", file=file)
    assert file.read_text() == printed
    call_command("daf_openapi", file=file, check=True)
    with pytest.raises(CommandError, match="give it --file"):
        call_command("daf_openapi", check=True)
