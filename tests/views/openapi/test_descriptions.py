"""Features that describe themselves: policies and stages of a project, and the additions of DAF's own."""

import inspect
import json
from typing import Annotated

import pytest
from django.urls import path
from openapi_spec_validator import OpenAPIV31SpecValidator

from daf_views import AsyncAPIView, exceptions
from daf_views.access import LoginRequiredMixin
from daf_views.api import Header, Parser
from daf_views.auth import BearerAuthentication, IsAuthenticatedOrReadOnly
from daf_views.conditional import ConditionalView
from daf_views.idempotency import IdempotencyKey
from daf_views.openapi import document, raises
from daf_views.pagination import PageNumberPagination
from daf_views.throttling import AsyncRateThrottle
from daf_views.views import Stage

RETRYABLE = [
    kind
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, exceptions.APIError) and not name.startswith("_")
    if "retry_after" in inspect.signature(kind).parameters
]


class Base(AsyncAPIView):
    enforces_csrf = False

    async def get(self, request) -> list[int]:
        return []

    async def post(self, request):
        return self.success(None)


def described(view, method="get", **initkwargs):
    """Return the operation of a view, and the components of its document."""
    made = json.loads(json.dumps(document(type("urls", (), {"urlpatterns": [path("x", view.as_view(**initkwargs))]}))))
    OpenAPIV31SpecValidator(made).validate()
    return made["paths"]["/x"][method], made["components"]


def added(view, method="get", **initkwargs):
    """Return the statuses that a view's operation has beside those of the base view."""
    operation, _ = described(view, method, **initkwargs)
    return operation["responses"].keys() - described(Base, method)[0]["responses"].keys()


# A project's own


class Quota:
    """A throttle: DAF knows only its method."""

    async def check(self, request, view):
        pass


class Paid(Quota):
    def describe(self, operation):
        operation.add_status(402)


class Member:
    async def has_permission(self, request, view):
        return True


class Writer(Member):
    def describe(self, operation):
        if operation.method != "GET":
            operation.require_permission()
            operation.add_status(409)


class SignedAuthentication(BearerAuthentication):
    def describe(self, operation):
        operation.add_security("signed", {"type": "http", "scheme": "signature"})
        operation.add_parameter({"name": "Signature-Input", "in": "header", "schema": {"type": "string"}})


class CSV(Parser):
    media_types = ("text/csv",)

    def describe(self, operation):
        super().describe(operation)
        operation.add_status(422)


def view(**attributes):
    return type("View", (Base,), attributes)


@pytest.mark.parametrize(
    ("attributes", "get", "post"),
    [
        ({"throttle": Quota}, {"429"}, {"429"}),
        ({"throttles": [Paid()]}, {"402"}, {"402"}),
        ({"permissions": [Member]}, {"403"}, {"403"}),
        ({"permissions": [Writer]}, set(), {"403", "409"}),
        ({"authentication": [SignedAuthentication]}, {"401"}, {"401"}),
        ({"parsers": [CSV]}, set(), {"422"}),
    ],
)
def test_a_policy_adds_what_it_says_or_what_its_kind_does(attributes, get, post):
    assert added(view(**attributes)) == get
    assert added(view(**attributes), "post") == post


def test_an_authentication_adds_its_scheme_and_its_parameter():
    operation, components = described(view(authentication=[SignedAuthentication], permissions=[Member]))
    assert operation["security"] == [{"signed": []}]
    assert components["securitySchemes"] == {"signed": {"type": "http", "scheme": "signature"}}
    assert [each["name"] for each in operation["parameters"]] == ["Signature-Input"]


def test_a_parser_adds_its_media_types():
    operation, _ = described(view(parsers=[CSV]), "post")
    assert list(operation["requestBody"]["content"]) == ["text/csv"]
    assert "411" not in operation["responses"]  # the multipart parser would add it


class Tenants:
    needs_tenant = True

    def describe_tenant(self, operation):
        operation.add_parameter({"name": "x-tenant", "in": "header", "required": True, "schema": {"type": "string"}})
        operation.add_response_header("X-Tenant", "The tenant.")
        operation.add_status(421)

    stages = (
        Stage(
            name="tenant",
            run=lambda view, request: None,  # noqa: ARG005 - a step
            after="authenticate",
            uses="needs_tenant",
            describe=describe_tenant,
        ),
    )


def test_a_stage_describes_itself_where_the_view_uses_it():
    operation, _ = described(type("View", (Tenants, Base), {}))
    assert operation["parameters"][0]["name"] == "x-tenant"
    assert operation["responses"]["200"]["headers"].keys() == {"X-Tenant"}
    assert added(type("View", (Tenants, Base), {})) == {"421"}
    assert added(type("View", (Tenants, Base), {"needs_tenant": False})) == set()


def test_a_parameter_that_the_handler_takes_is_described_once():
    class Takes(Tenants, Base):
        async def get(self, request, tenant: Annotated[str, Header(alias="X-Tenant")] = "") -> list[int]:
            return []

    [parameter] = described(Takes)[0]["parameters"]
    assert (parameter["name"], parameter["required"]) == ("X-Tenant", False)


def test_a_stage_may_only_describe():
    def describe(view, operation):
        operation.add_status(451)

    stages = (Stage(name="law", after="permit", describe=describe),)
    assert added(view(stages=stages)) == {"451"}


# DAF's own


@pytest.mark.parametrize(
    ("attributes", "get", "post"),
    [
        ({"deadline": 1}, {"504"}, {"504"}),
        ({"enforces_csrf": True}, set(), {"403"}),
        ({"throttle": AsyncRateThrottle("1/s")}, {"429"}, {"429"}),
        ({"permissions": [IsAuthenticatedOrReadOnly]}, set(), {"403"}),
        ({"pagination": PageNumberPagination()}, {"400", "404"}, set()),
        ({"idempotency": IdempotencyKey(methods=["POST"])}, set(), {"409", "422"}),
    ],
)
def test_a_feature_adds_its_statuses(attributes, get, post):
    assert added(view(**attributes)) == get
    assert added(view(**attributes), "post") == post
    assert added(Base, **attributes) == get


def test_a_conditional_view_adds_its_statuses_and_its_tag():
    class Conditional(Base, ConditionalView):
        async def put(self, request):
            return self.success(None)

    assert added(Conditional) == {"304"}
    assert described(Conditional)[0]["responses"]["200"]["headers"].keys() == {"ETag"}
    assert {"400", "412"} <= described(Conditional, "put")[0]["responses"].keys()


@pytest.mark.parametrize("kind", RETRYABLE)
def test_an_error_with_a_time_to_retry_has_its_header_in_the_document(kind):
    class Refusing(Base):
        @raises(kind)
        async def get(self, request) -> list[int]: ...

    operation, components = described(Refusing)
    name = operation["responses"][str(int(kind.default_status))]["$ref"].rpartition("/")[2]
    headers = components["responses"][name].get("headers", {})
    assert headers.keys() == {"Retry-After"}, f"add {kind.default_status} to _HEADERS in daf_views/openapi/responses.py"


def test_an_access_mixin_says_that_it_refuses():
    assert added(type("View", (LoginRequiredMixin, Base), {})) == {"401", "403"}
