"""Files of models in what typed handlers return."""

import dataclasses
import json
from typing import Annotated

import msgspec
import pydantic
import pytest
from django.db import models
from django.test import AsyncRequestFactory

from daf_views import AsyncAPIView
from daf_views.api import FileName, FileURL

requests = AsyncRequestFactory()


class Scan(models.Model):
    title = models.CharField(max_length=50)
    file = models.FileField(null=True)
    cover = models.FileField()

    class Meta:
        app_label = "library"
        managed = False


class Out(msgspec.Struct):
    title: str
    file: str | None
    cover: Annotated[str, FileName]


class POut(pydantic.BaseModel):
    title: str
    file: str | None
    cover: Annotated[str, FileName]


@dataclasses.dataclass
class DOut:
    title: str
    file: Annotated[str, FileURL] | None
    cover: Annotated[str, FileName]


KINDS = [Out, POut, DOut]


async def shown(kind, value):
    class View(AsyncAPIView):
        async def get(self, request):
            return value

    View.get.__annotations__["return"] = kind
    view = type("View", (View,), {})
    response = await view.as_view()(requests.get("/"))
    assert response.status_code == 200, response.content
    return json.loads(response.content)


@pytest.fixture(autouse=True)
def media(settings):
    settings.MEDIA_URL = "/media/"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_is_its_url_or_its_name_as_annotated(kind):
    scan = Scan(title="a", file="x/a b.txt", cover="x/c.png")
    expected = {"title": "a", "file": "/media/x/a%20b.txt", "cover": "x/c.png"}
    assert await shown(kind, scan) == expected
    assert await shown(list[kind], [scan, scan]) == [expected] * 2


@pytest.mark.parametrize("kind", KINDS)
async def test_without_a_file_it_is_none_or_an_empty_text(kind):
    assert await shown(kind, Scan(title="a")) == {"title": "a", "file": None, "cover": ""}


@pytest.mark.parametrize("kind", KINDS)
async def test_files_deep_down_and_in_dicts_are_texts_too(kind):
    @dataclasses.dataclass
    class Shelf:
        scans: list[kind]

    Shelf.__annotations__["scans"] = list[kind]
    scan = Scan(title="a", file="a.txt", cover="c.png")
    answer = await shown(Shelf, {"scans": [scan, {"title": "b", "file": scan.file, "cover": scan.cover}]})
    assert [each["file"] for each in answer["scans"]] == ["/media/a.txt"] * 2


async def test_pydantics_mistake_names_the_field(caplog):
    class Narrow(pydantic.BaseModel):
        title: int

    class View(AsyncAPIView):
        async def get(self, request) -> list[Narrow]:
            return [Scan(title="x")]

    assert (await View.as_view()(requests.get("/"))).status_code == 500
    assert "0.title: Input should be a valid integer" in str(caplog.records[0].exc_info[1])


async def test_a_response_without_types_has_the_name():
    class View(AsyncAPIView):
        async def get(self, request):
            return self.success(Scan(id=1, title="a", file="a.txt", cover="c.png"))

    assert json.loads((await View.as_view()(requests.get("/"))).content)["file"] == "a.txt"
