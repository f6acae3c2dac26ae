"""``Shaped[…]``: at run time it is the type that it is given."""

from typing import Annotated, Generic, TypeVar

import msgspec
import pytest
from django.test import AsyncRequestFactory

from daf_views import AsyncAPIView
from daf_views.api import APIRequest, Shaped, Status
from tests.project.library.models import Tag

T = TypeVar("T")
pytestmark = pytest.mark.sqlite_memory


class TagOut(msgspec.Struct):
    name: str


class Tags(AsyncAPIView):
    enforces_csrf = False

    async def get(self, request: APIRequest) -> Shaped[list[TagOut]]:
        return Tag.objects.order_by("name")

    async def post(self, request: APIRequest) -> Annotated[Shaped["TagOut"], Status(201)]:
        return Tag(name=request.data["name"])


class ListOf(AsyncAPIView, Generic[T]):
    async def get(self, request: APIRequest) -> Shaped[list[T]]:
        return [{"name": "x", "secret": 1}]


class TagList(ListOf[TagOut]):
    pass


requests = AsyncRequestFactory()


def test_it_is_the_type():
    assert Shaped[list[TagOut]] == list[TagOut]
    assert Tags.handler_signatures["get"].returns == list[TagOut]
    assert TagList.handler_signatures["get"].returns == list[TagOut]


async def test_a_queryset_is_shaped(db):
    await Tag.objects.abulk_create([Tag(name="b"), Tag(name="a")])

    response = await Tags.as_view()(requests.get("/"))

    assert response.content == b'[{"name":"a"},{"name":"b"}]'


async def test_an_instance_is_shaped_and_the_status_is_the_annotation_s():
    response = await Tags.as_view()(requests.post("/", {"name": "x"}, content_type="application/json"))

    assert (response.status_code, response.content) == (201, b'{"name":"x"}')


async def test_a_generic_view_shapes_with_what_its_subclass_gives():
    response = await TagList.as_view()(requests.get("/"))

    assert response.content == b'[{"name":"x"}]'
