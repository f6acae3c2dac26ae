"""Views that are odd, each of which has a valid document, or at least keeps no other from one."""

import json
import math
from typing import Annotated

import msgspec
import pydantic
import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core.management import CommandError, call_command
from django.urls import include, path, re_path, register_converter
from django.urls.converters import IntConverter
from django.utils import translation
from openapi_spec_validator import OpenAPIV31SpecValidator

from daf_views import AsyncAPIView
from daf_views.api import Query
from daf_views.auth import APIKeyAuthentication, Authentication, IsAuthenticatedOrReadOnly
from daf_views.openapi import document
from daf_views.openapi.document import as_json
from daf_views.pagination import PageNumberPagination
from tests.project.library.models import Author


class AuthorConverter(IntConverter):
    def to_python(self, value):
        return Author(pk=int(value))


register_converter(AuthorConverter, "author")


class Filters(msgspec.Struct):
    q: str


class Versions:
    """Two modules, each of which has these classes."""

    def __init__(self, kind):
        self.Order = msgspec.defstruct("Order", [("id", kind)])
        self.Orders = msgspec.defstruct("Orders", [("items", list[self.Order])])


old, new = Versions(int), Versions(str)


class Cat(msgspec.Struct, tag=True):
    lives: int


class OtherCat(msgspec.Struct, tag="Cat"):
    names: str


OtherCat.__name__ = "Cat"


def view(**handlers):
    made = {}
    for name, annotations in handlers.items():

        async def handler(self, request, q=None, order=None, page=1):
            """Answer."""

        handler.__annotations__ = annotations
        made[name] = handler
    return type("View", (AsyncAPIView,), made)


def paged(kind):
    made = view(get={"return": kind})
    made.pagination = PageNumberPagination()
    return made


class Untyped(AsyncAPIView):
    async def get(self, request, *args, **kwargs):
        return self.success(None)


class OwnPage(AsyncAPIView):
    pagination = PageNumberPagination()

    async def get(self, request, page: int = 1) -> list[int]:
        return []


class Infinite(AsyncAPIView):
    async def get(self, request, q: float = math.inf):
        return self.success(None)


class NoScheme(Authentication):
    async def authenticate(self, request):
        return None


class OtherKey(APIKeyAuthentication):
    header = "X-Other"


class Keys(AsyncAPIView):
    authentication = (APIKeyAuthentication, OtherKey, NoScheme)
    permissions = (IsAuthenticatedOrReadOnly,)

    async def get(self, request):
        return self.success(None)

    post = get


class Custom(AsyncAPIView):
    http_method_names = ("get", "query")

    async def get(self, request):
        return self.success(None)

    query = get


class Typed(AsyncAPIView):
    async def get(self, request, pk: str):
        return self.success(None)


ODD = [
    path("extra/", Untyped.as_view(), {"kind": "new"}),
    re_path(r"^unnamed/([0-9]+)/$", Untyped.as_view()),
    path("author/<author:order>/", view(get={"order": Author}).as_view()),
    path("infinite/", Infinite.as_view()),
    path("optional/", view(get={"q": Annotated[Filters | None, Query()]}).as_view()),
    path("root/", view(get={"q": Annotated[pydantic.RootModel[int], Query()]}).as_view()),
    path("list/", paged(list).as_view()),
    path("maybe/", paged(list[Filters] | None).as_view()),
    path("own-page/", OwnPage.as_view()),
    path("keys/", Keys.as_view()),
    path("custom/", Custom.as_view()),
    path("a-b/", Untyped.as_view()),
    path("a/b/", Untyped.as_view()),
    path("typed/<int:pk>/", Typed.as_view()),
]


@pytest.fixture
def documented(settings):
    def make(*patterns):
        made = json.loads(json.dumps(document(type("urls", (), {"urlpatterns": list(patterns)}))))
        OpenAPIV31SpecValidator(made).validate()
        return made

    return make


@pytest.mark.parametrize("pattern", ODD, ids=lambda pattern: str(pattern.pattern))
def test_an_odd_view_has_a_valid_document(documented, pattern):
    assert len(documented(pattern)["paths"]) == 1


def test_all_of_them_have_one(documented):
    made = documented(*ODD)
    assert len(made["paths"]) == len(ODD)
    assert set(made["components"]["securitySchemes"]) == {"api_key", "api_key2"}
    keys = made["paths"]["/keys/"]
    assert ({} in keys["get"]["security"], {} in keys["post"]["security"]) == (True, False)
    assert made["paths"]["/typed/{pk}/"]["get"]["parameters"][0]["schema"] == {"type": "integer", "minimum": 0}


def test_classes_of_one_name_are_not_mixed_up(documented):
    views = {name: view(get={"return": each.Orders}) for name, each in {"old": old, "new": new}.items()}
    made = documented(*(path(f"{name}/", each.as_view()) for name, each in views.items()))

    def kind_of_id(name):
        schema = made["paths"][f"/{name}/"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        items = made["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]["items"]["items"]
        return made["components"]["schemas"][items["$ref"].rpartition("/")[2]]["properties"]["id"]["type"]

    assert (kind_of_id("old"), kind_of_id("new")) == ("integer", "string")


@pytest.mark.parametrize("language", ["en", "de"])
def test_paths_are_those_of_the_language(settings, language):
    urls = type("urls", (), {"urlpatterns": i18n_patterns(path("a/", Untyped.as_view()))})
    with translation.override(language):
        assert list(json.loads(as_json(urls))["paths"]) == [f"/{language}/a/"]


def test_a_server_below_a_path_says_so():
    urls = type("urls", (), {"urlpatterns": [path("", include([path("a/", Untyped.as_view())]))]})
    assert json.loads(as_json(urls, prefix="/site"))["servers"] == [{"url": "/site"}]


def test_a_file_that_cannot_be_compared_is_not_up_to_date(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff")
    for file in (tmp_path / "binary", tmp_path):
        with pytest.raises(CommandError, match="not up to date"):
            call_command("daf_openapi", file=file, check=True)
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("daf_openapi", file=tmp_path)
