"""Every request is answered 2xx, or by a well-formed problem that is not a server error."""

import asyncio
import datetime as dt
import decimal
import enum
import json
import os
import uuid
from typing import Annotated

import msgspec
import pydantic
import pytest
from django.urls import path
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daf_views import AsyncAPIView
from daf_views.api import Header, Query, Status
from daf_views.asgi import get_asgi_application
from daf_views.auth import APIKeyAuthentication, BearerAuthentication
from daf_views.conditional import ConditionalView
from daf_views.idempotency import IdempotencyKey
from daf_views.pagination import CursorPagination, PageNumberPagination
from tests.project.library.models import Author
from tests.support.exchange import exchange

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]
EXAMPLES = int(os.environ.get("DAF_REQUESTS", "500"))
BIGINT = msgspec.Meta(ge=0, le=2**63 - 1)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(msgspec.Struct):
    book: Annotated[int, BIGINT]
    price: decimal.Decimal
    tags: dict[str, list[str]] = {}


class Order(msgspec.Struct):
    customer: Annotated[str, msgspec.Meta(max_length=100)]
    lines: list[Line]
    colour: Colour | None = None
    at: dt.datetime | None = None
    key: uuid.UUID | None = None


class PydanticOrder(pydantic.BaseModel):
    customer: str
    parent: "PydanticOrder | None" = None
    price: decimal.Decimal = decimal.Decimal(0)
    at: dt.timedelta | None = None


class AuthorOut(msgspec.Struct):
    id: int
    name: str


class Tokens(BearerAuthentication):
    async def get_user(self, token):
        return await Author.objects.filter(name=token.replace("\0", "")).afirst()


class Keys(APIKeyAuthentication):
    get_user = Tokens.get_user


class Orders(AsyncAPIView):
    idempotency = IdempotencyKey()
    atomic = True

    async def post(self, request, body: Order, page: int = 1) -> Annotated[AuthorOut, Status(201)]:
        return await Author.objects.acreate(name=body.customer)

    async def put(self, request, body: Annotated[list[Line], "lines"]) -> None:
        pass


class PydanticOrders(AsyncAPIView):
    async def post(self, request, body: PydanticOrder) -> PydanticOrder:
        return body


class Authors(AsyncAPIView):
    authentication = (Tokens, Keys)
    pagination = PageNumberPagination(size=2, max_size=5)

    async def get(
        self,
        request,
        name: str = "",
        *,
        ids: Annotated[list[Annotated[int, BIGINT]], Query()] = [],  # noqa: B006
        since: dt.date | None = None,
        colour: Colour | None = None,
        version: Annotated[float, Header(alias="X-Version")] = 0,
    ) -> list[AuthorOut]:
        authors = Author.objects.filter(name__contains=name).order_by("name")
        return authors.filter(pk__in=ids) if ids else authors


class Cursors(AsyncAPIView):
    pagination = CursorPagination(size=2, max_size=5, ordering=("-name",))

    async def get(self, request) -> list[AuthorOut]:
        return Author.objects.all()


class One(ConditionalView, AsyncAPIView):
    requires_if_match = True

    async def get(self, request, key: uuid.UUID) -> AuthorOut:
        author = await Author.objects.afirst()
        self.check_preconditions(request, author.pk)
        return author

    async def patch(self, request, key: str, name: Annotated[str, Query()] = "") -> None:
        self.check_preconditions(request, 7)


urlpatterns = [
    path("orders", Orders.as_view()),
    path("pydantic", PydanticOrders.as_view()),
    path("authors", Authors.as_view()),
    path("cursors", Cursors.as_view()),
    path("authors/<str:key>", One.as_view()),
]

NAMES = st.sampled_from(["customer", "lines", "book", "price", "tags", "colour", "at", "key", "parent"]) | st.text(
    max_size=5
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["red", "2026-01-31", "2026-01-31T00:00:00Z", "1.50", str(uuid.UUID(int=7)), "\0", "\ud800"]),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(NAMES, each, max_size=4),
    max_leaves=8,
)
BODIES = (
    st.binary(max_size=200)
    | JSON.map(lambda data: json.dumps(data).encode())
    | st.builds(
        lambda customer, lines: json.dumps({"customer": customer, "lines": lines}).encode(), st.text(), st.lists(JSON)
    )
    | st.just(b"[" * 5000)
)
CONTENT_TYPES = st.sampled_from(
    [
        "application/json",
        "application/json; charset=utf-7",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "text/plain",
        "",
    ]
)
PARAMETERS = st.sampled_from(
    [b"name", b"ids", b"since", b"colour", b"page", b"page_size", b"cursor", b"format", b"key"]
)
VALUES = st.binary(max_size=20) | st.sampled_from([b"1", b"-1", b"1e9", b"%00", b"9" * 30, b"%FF", b"null", b"red"])
QUERIES = st.lists(st.tuples(PARAMETERS, VALUES), max_size=4).map(
    lambda pairs: b"&".join(name + b"=" + value for name, value in pairs)
)
FIELD_VALUES = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=30)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "accept",
            "authorization",
            "cookie",
            "idempotency-key",
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-unmodified-since",
            "origin",
            "x-api-key",
            "x-http-method-override",
            "x-version",
        ]
    ),
    FIELD_VALUES | st.sampled_from(["*", '"7"', 'W/"7", "8"', "Bearer x", "text/html", "sessionid=x", "null"]),
    max_size=4,
)
PATHS = st.sampled_from(["/orders", "/pydantic", "/authors", "/cursors", f"/authors/{uuid.UUID(int=7)}", "/authors/x"])
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "DISPATCH"])


@pytest.mark.timeout(240)
def test_any_request_is_answered_well(settings_of_django):
    Author.objects.create(name="x")
    application = get_asgi_application()
    with asyncio.Runner() as runner:

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(method=METHODS, path=PATHS, query=QUERIES, headers=HEADERS, content_type=CONTENT_TYPES, body=BODIES)
        def answer_well(**case):
            runner.run(check(application, **case))

        answer_well()


async def check(application, *, method, path, query, headers, content_type, body):
    fields = list(headers.items())
    if body:
        fields += [("content-type", content_type), ("content-length", str(len(body)))]
    answer = await exchange(application, method=method, path=path, query=query, headers=fields, body=body)
    told = (method, path, query, headers, content_type, body, answer.status, answer.body[:300])
    assert answer.status < 500, told
    if answer.status >= 400 and answer.body and "html" not in (answer.header("content-type") or ""):
        problem = json.loads(answer.body)
        assert answer.header("content-type") == "application/problem+json", told
        assert problem["status"] == answer.status, told
        assert {"type", "title"} <= set(problem), told
    elif answer.status in {200, 201} and method not in {"HEAD", "OPTIONS"}:
        json.loads(answer.body)


@pytest.fixture
def settings_of_django(settings):
    settings.MIDDLEWARE = ["daf_views.middleware.async_error_middleware"]
    return settings
