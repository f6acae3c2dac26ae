"""A datetime that no time zone can express is a mistake of the client, at any depth, and never an OverflowError."""

import dataclasses
import datetime as dt
import json
from typing import TypedDict

import msgspec
import pydantic
import pytest
from django.test import AsyncRequestFactory

from daf_views import AsyncAPIView
from daf_views.schemas import SchemaError, schema_of
from daf_views.schemas.moments import seeker_of
from daf_views.schemas.msgspec_schema import _fields

requests = AsyncRequestFactory()
OUTSIDE = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999-00:01"]
WITHIN = ["0001-01-02T00:00:00+00:00", "9999-12-30T00:00:00Z", "2024-02-29T12:00:00+02:00", "2024-02-29T12:00:00"]


class Struct(msgspec.Struct):
    at: dt.datetime | None = None
    inner: list["Struct"] = []


class Model(pydantic.BaseModel):
    at: dt.datetime | None = None
    inner: list["Model"] = []


@dataclasses.dataclass
class Data:
    at: dt.datetime | None = None


class Aware(pydantic.BaseModel):
    at: pydantic.AwareDatetime | None = None
    by: dict[str, Data] = {}


class Typed(TypedDict):
    at: dt.datetime


@pytest.mark.parametrize("kind", [Struct, Model, Data, Aware, Typed])
@pytest.mark.parametrize("text", OUTSIDE)
def test_a_datetime_out_of_range_is_a_violation(kind, text):
    with pytest.raises(SchemaError) as refused:
        schema_of(kind).load({"at": text})
    [violation] = refused.value.violations
    assert (violation.place, violation.code) == (("at",), "out_of_range")


@pytest.mark.parametrize("kind", [Struct, Model, Data, Typed])
@pytest.mark.parametrize("text", WITHIN)
def test_a_datetime_within_the_range_is_taken(kind, text):
    schema_of(kind).load({"at": text})


@pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Tokyo"])
def test_a_datetime_without_a_zone_is_of_the_current_one(settings, zone):
    settings.TIME_ZONE = zone
    text = "0001-01-01T00:00:00" if zone == "Asia/Tokyo" else "9999-12-31T23:59:59"
    with pytest.raises(SchemaError, match="at: The datetime is out of range"):
        schema_of(Struct).load({"at": text})
    settings.USE_TZ = False
    schema_of(Struct).load({"at": text})


@pytest.mark.parametrize(
    ("kind", "value", "place"),
    [
        (Struct, {"inner": [{}, {"inner": [{"at": OUTSIDE[0]}]}]}, ("inner", 1, "inner", 0, "at")),
        (Model, {"inner": [{}, {"inner": [{"at": OUTSIDE[0]}]}]}, ("inner", 1, "inner", 0, "at")),
        (Aware, {"by": {"a": {"at": OUTSIDE[0]}}}, ("by", "a", "at")),
        (list[dt.datetime], [WITHIN[0], OUTSIDE[1]], (1,)),
        (dict[str, list[dt.datetime]], {"a": [OUTSIDE[1]]}, ("a", 0)),
        (dt.datetime | list[dt.datetime], [OUTSIDE[1]], (0,)),
    ],
)
def test_its_place_is_named_at_any_depth(kind, value, place):
    with pytest.raises(SchemaError) as refused:
        schema_of(kind).load(value)
    assert [each.place for each in refused.value.violations] == [place]


class Book(msgspec.Struct):
    title: str
    printed: dt.date


@pytest.mark.parametrize("kind", [int, Book, list[Book], dict[str, Book], tuple[Book, Book], Book | list[Book]])
def test_a_type_without_datetimes_costs_nothing(kind):
    assert seeker_of(kind, _fields) is None


class Events(AsyncAPIView):
    enforces_csrf = False

    async def get(self, request, since: dt.datetime) -> str:
        return since.isoformat()

    async def post(self, request, body: Struct) -> Struct:
        return body


async def test_a_client_is_told():
    response = await Events.as_view()(requests.get("/", {"since": OUTSIDE[0]}))
    assert response.status_code == 422
    assert json.loads(response.content)["errors"][0]["parameter"] == "since"
    body = json.dumps({"inner": [{"at": OUTSIDE[0]}]})
    response = await Events.as_view()(requests.post("/", body, content_type="application/json"))
    assert response.status_code == 422
    assert json.loads(response.content)["errors"][0]["pointer"] == "#/inner/0/at"
