"""Queries, cookies and paths: names, unknown names, converters."""

import datetime as dt
import json
import uuid
from typing import Annotated

import msgspec
import pydantic
import pytest
from django.test import AsyncRequestFactory
from django.urls import path, register_converter
from django.urls.converters import IntConverter, StringConverter

from daf_views import AsyncAPIView
from daf_views.api import checks
from daf_views.openapi.document import document
from daf_views.pagination import PageNumberPagination
from daf_views.parameters import Cookie, Query

requests = AsyncRequestFactory()


async def ask(view, target="/", **more):
    response = await view.as_view()(requests.get(target, **more))
    return response.status_code, json.loads(response.content)


class Filters(msgspec.Struct, forbid_unknown_fields=True):
    author: str = ""


class Lenient(msgspec.Struct):
    author: str = ""


class PFilters(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", populate_by_name=True)
    size: int = pydantic.Field(10, validation_alias=pydantic.AliasChoices("page_size", "pageSize"))
    first: str | None = pydantic.Field(None, validation_alias=pydantic.AliasPath("names", 0))


class Keeping(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    size: int = 1


def searching(kind, **more):
    class Search(AsyncAPIView):
        async def get(self, request, filters, page_size: int = 0, tag: str = "") -> dict:
            return filters.model_dump() if hasattr(filters, "model_dump") else msgspec.to_builtins(filters)

    Search.get.__annotations__["filters"] = Annotated[kind, Query()]
    return type("Search", (Search,), more)


@pytest.mark.parametrize(("kind", "name"), [(Filters, "auhtor"), (PFilters, "sise")])
async def test_a_name_without_a_field_is_refused_as_in_a_body(kind, name):
    status, problem = await ask(searching(kind), f"/?{name}=x")
    [error] = problem["errors"]
    assert (status, error["parameter"], error["location"]) == (422, name, "query")


@pytest.mark.parametrize("kind", [Filters, PFilters])
async def test_other_parameters_of_the_handler_are_not_unknown(kind):
    status, _ = await ask(searching(kind), "/?tag=a")
    assert status == 200


async def test_the_paginators_parameters_are_not_unknown():
    paged = searching(Filters, pagination=PageNumberPagination(size=5, max_size=10))
    assert (await ask(paged, "/?page=2&author=ada"))[0] == 200
    assert (await ask(paged, "/?pages=2"))[0] == 422


async def test_a_type_that_forbids_nothing_looks_at_its_own_names_only():
    assert await ask(searching(Lenient), "/?auhtor=x") == (200, {"author": ""})


async def test_a_model_that_keeps_extra_names_gets_them():
    assert await ask(searching(Keeping), "/?size=2&colour=red&tag=a") == (200, {"size": 2, "colour": "red"})


@pytest.mark.parametrize("name", ["page_size", "pageSize", "size"])
async def test_every_name_of_a_field_is_taken(name):
    class Search(AsyncAPIView):
        async def get(self, request, filters: Annotated[PFilters, Query()]) -> dict:
            return filters.model_dump()

    assert await ask(Search, f"/?{name}=5") == (200, {"size": 5, "first": None})


async def test_a_path_into_a_list_is_followed():
    assert (await ask(searching(PFilters), "/?names=ada&names=emma"))[1]["first"] == "ada"


async def test_an_empty_parameter_of_a_get_form_is_nothing():
    class Search(AsyncAPIView):
        async def get(
            self, request, page: int = 1, day: dt.date | None = None, text: str = "a", *, new: bool = False
        ) -> dict:
            return {"page": page, "day": day, "text": text, "new": new}

    assert await ask(Search, "/?page=&day=&text=&new=on") == (200, {"page": 1, "day": None, "text": "", "new": True})


class Basket(AsyncAPIView):
    async def get(
        self, request, basket: Annotated[int, Cookie()], theme: Annotated[str, Cookie("ui-theme")] = "light"
    ) -> dict:
        return {"basket": basket, "theme": theme}


async def with_cookies(text):
    factory = AsyncRequestFactory()
    factory.cookies.load(text)
    response = await Basket.as_view()(factory.get("/"))
    return response.status_code, json.loads(response.content)


async def test_a_cookie_is_a_source():
    assert await with_cookies("basket=7; ui-theme=dark") == (200, {"basket": 7, "theme": "dark"})
    status, problem = await with_cookies("basket=x")
    assert (status, problem["errors"][0]["location"], problem["errors"][0]["parameter"]) == (422, "cookie", "basket")
    assert (await with_cookies(""))[1]["errors"][0]["code"] == "required"


# Converters


class DayConverter:
    regex = "[0-9]{4}-[0-9]{2}-[0-9]{2}"

    def to_python(self, value) -> dt.date:
        return dt.date.fromisoformat(value)

    def to_url(self, value):
        return value.isoformat()


class ShortConverter(StringConverter):
    regex = "[a-z]{3}"


class PositiveConverter(IntConverter):
    pass


class NamedConverter(StringConverter):
    regex = "(?P<inner>[a-z]+)"


for each in (DayConverter, ShortConverter, PositiveConverter, NamedConverter):
    register_converter(each, f"test-{each.__name__.removesuffix('Converter').lower()}")


class Anything(AsyncAPIView):
    async def get(self, request, it): ...


@pytest.mark.parametrize(
    ("converter", "schema"),
    [
        ("test-day", {"type": "string", "format": "date", "pattern": "^(?:[0-9]{4}-[0-9]{2}-[0-9]{2})$"}),
        ("test-short", {"type": "string", "pattern": "^(?:[a-z]{3})$"}),
        ("test-positive", {"type": "integer", "minimum": 0}),
        ("test-named", {"type": "string", "minLength": 1}),
        ("slug", {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$"}),
        ("path", {"type": "string", "minLength": 1}),
    ],
)
def test_a_converter_is_described_by_what_it_takes(converter, schema):
    urlconf = type("urls", (), {"urlpatterns": [path(f"x/<{converter}:it>", Anything.as_view())]})
    [parameter] = document(urlconf)["paths"]["/x/{it}"]["get"]["parameters"]
    assert parameter["schema"] == schema


def test_a_cookie_is_described():
    urlconf = type("urls", (), {"urlpatterns": [path("basket", Basket.as_view())]})
    parameters = document(urlconf)["paths"]["/basket"]["get"]["parameters"]
    assert [(each["name"], each["in"], each["required"]) for each in parameters] == [
        ("basket", "cookie", True),
        ("ui-theme", "cookie", False),
    ]


def annotated(kind):
    class View(AsyncAPIView):
        async def get(self, request, it): ...

    View.get.__annotations__["it"] = kind
    return type("View", (View,), {})


@pytest.mark.parametrize(
    ("converter", "kind", "contradicts"),
    [
        ("int", uuid.UUID, True),
        ("int", str, True),
        ("int", dt.date, True),
        ("uuid", int, True),
        ("test-day", int, True),
        ("test-day", uuid.UUID, True),
        ("int", int, False),
        ("int", Annotated[int, msgspec.Meta(ge=5)], False),
        ("int", float, False),
        ("int", int | None, False),
        ("uuid", uuid.UUID, False),
        ("test-day", dt.date, False),
        ("str", int, False),
        ("slug", str, False),
    ],
)
def test_a_check_names_an_annotation_that_contradicts_its_converter(settings, converter, kind, contradicts):
    view = annotated(kind)
    settings.ROOT_URLCONF = type("urls", (), {"urlpatterns": [path(f"x/<{converter}:it>", view.as_view())]})
    assert [message.id for message in checks.check_converters()] == ["daf_views.E021"] * contradicts
