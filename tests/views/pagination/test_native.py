"""With the native PostgreSQL engine, rows for a page or a typed answer are read on the event loop."""

import msgspec
import pytest
from django.test import AsyncRequestFactory

from daf_orm.test import count_hops
from daf_views import AsyncAPIView
from daf_views.api import APIRequest, Shaped
from daf_views.pagination import CursorPagination, PageNumberPagination
from tests.project.library.models import Tag
from tests.views.pagination.conftest import page

pytestmark = [pytest.mark.native, pytest.mark.django_db(transaction=True)]


class TagOut(msgspec.Struct):
    name: str


class Tags(AsyncAPIView):
    async def get(self, request: APIRequest) -> Shaped[list[TagOut]]:
        return Tag.objects.order_by("name")


@pytest.fixture
async def tags():
    await Tag.objects.abulk_create([Tag(name="b"), Tag(name="a")])


@pytest.mark.parametrize("pagination", [CursorPagination(size=1, ordering=["name"]), PageNumberPagination(size=1)])
async def test_a_page_needs_no_thread(tags, pagination):
    with count_hops(at_most=0):
        here = await page(pagination, Tag.objects.order_by("name"))

    assert [tag.name for tag in here.items] == ["a"]


async def test_a_typed_list_needs_no_thread(tags):
    with count_hops(at_most=0):
        response = await Tags.as_view()(AsyncRequestFactory().get("/"))

    assert response.content == b'[{"name":"a"},{"name":"b"}]'
