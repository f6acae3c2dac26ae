"""Forms as browsers send them, and as clients made from the document do."""

import datetime as dt
import decimal
import json
from typing import Annotated

import msgspec
import pydantic
import pytest
from django.core.files.uploadedfile import UploadedFile
from django.test import AsyncRequestFactory

from daf_views import AsyncAPIView
from daf_views.openapi.bodies import request_body
from daf_views.openapi.components import Components
from daf_views.openapi.endpoints import Endpoint

requests = AsyncRequestFactory()


class Part(msgspec.Struct):
    source: str
    size: int = 0


class Upload(msgspec.Struct):
    name: str
    file: UploadedFile | None = None
    more: list[UploadedFile] = []


class Parts(msgspec.Struct):
    meta: Part
    many: list[Part] = []
    free: dict[str, int] = {}
    maybe: Part | None = None


class Fields(msgspec.Struct):
    text: str = "default"
    number: int | None = 7
    price: decimal.Decimal = decimal.Decimal("1.5")
    day: dt.date | None = None
    agreed: bool = True
    tags: list[str] = []
    years: list[int] = []


class PFields(pydantic.BaseModel):
    text: str = "default"
    number: int | None = 7
    price: decimal.Decimal = decimal.Decimal("1.5")
    day: dt.date | None = None
    agreed: bool = True
    tags: list[str] = []
    years: list[int] = []


def view_of(kind):
    class Take(AsyncAPIView):
        enforces_csrf = False

        async def post(self, request, body):
            return self.success(json.loads(msgspec.json.encode(shown(body))))

    Take.post.__annotations__["body"] = kind
    return type("Take", (Take,), {})


def shown(body):
    if isinstance(body, pydantic.BaseModel):
        return body.model_dump()
    return {name: _shown(getattr(body, name)) for name in body.__struct_fields__}


def _shown(value):
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return value.name if isinstance(value, UploadedFile) else value


async def multipart(kind, *parts):
    """Send parts: name, content, and of a file its name and media type."""
    body = b""
    for name, content, *file in parts:
        named = f'; filename="{file[0]}"\r\nContent-Type: {file[1]}' if file else ""
        body += f'--x\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
    request = requests.generic("POST", "/", body + b"--x--\r\n", content_type="multipart/form-data; boundary=x")
    response = await view_of(kind).as_view()(request)
    return response.status_code, json.loads(response.content)


async def urlencoded(kind, text):
    request = requests.generic("POST", "/", text.encode(), content_type="application/x-www-form-urlencoded")
    response = await view_of(kind).as_view()(request)
    return response.status_code, json.loads(response.content)


EMPTY_FILE = (b"", "", "application/octet-stream")


@pytest.mark.parametrize("name", ["file", "more"])
async def test_an_empty_file_input_is_no_file(name):
    status, answer = await multipart(Upload, ("name", b"n"), (name, *EMPTY_FILE))
    assert (status, answer) == (200, {"name": "n", "file": None, "more": []})


async def test_one_of_several_file_inputs_may_be_empty():
    file = (b"x", "a.txt", "text/plain")
    status, answer = await multipart(Upload, ("name", b"n"), ("more", *EMPTY_FILE), ("more", *file), ("more", *file))
    assert (status, answer["more"]) == (200, ["a.txt", "a.txt"])


async def test_a_file_that_is_required_is_missed():
    class Required(msgspec.Struct):
        file: UploadedFile

    status, problem = await multipart(Required, ("file", *EMPTY_FILE))
    assert (status, problem["errors"][0]["pointer"], problem["errors"][0]["code"]) == (422, "#/file", "required")


@pytest.mark.parametrize("file", [(), ("blob", "application/json")])
async def test_an_object_is_json_in_a_separate_part(file):
    status, answer = await multipart(
        Parts,
        ("meta", b'{"source": "camera", "size": 3}', *file),
        ("many", b'{"source": "a"}', *file),
        ("many", b'{"source": "b"}', *file),
        ("free", b'{"n": 1}', *file),
    )
    assert status == 200, answer
    assert answer == {
        "meta": {"source": "camera", "size": 3},
        "many": [{"source": "a", "size": 0}, {"source": "b", "size": 0}],
        "free": {"n": 1},
        "maybe": None,
    }


async def test_a_list_of_objects_may_be_one_part():
    status, answer = await multipart(
        Parts, ("meta", b'{"source": "c"}'), ("many", b'[{"source": "a"}]'), ("maybe", b"")
    )
    assert (status, answer["many"], answer["maybe"]) == (200, [{"source": "a", "size": 0}], None)


@pytest.mark.parametrize("text", [b"{", b'{"source": NaN}', b"camera"])
async def test_a_part_that_is_no_json_is_named(text):
    status, problem = await multipart(Parts, ("meta", text))
    assert (status, problem["errors"][0]["pointer"]) == (422, "#/meta")
    assert problem["errors"][0]["detail"].startswith("The part ")


async def test_a_mistake_within_a_part_is_reported_with_its_place():
    status, problem = await multipart(Parts, ("meta", b'{"source": 1}'))
    assert (status, problem["errors"][0]["pointer"]) == (422, "#/meta/source")


@pytest.mark.parametrize("kind", [Fields, PFields])
async def test_empty_inputs_are_nothing(kind):
    status, answer = await urlencoded(kind, "text=&number=&price=&day=&years=&tags=")
    assert (status, answer["text"], answer["number"], answer["day"]) == (200, "", None, None)
    assert (answer["price"], answer["years"], answer["tags"]) == ("1.5", [], [""])


@pytest.mark.parametrize("kind", [Fields, PFields])
@pytest.mark.parametrize(("text", "value"), [("on", True), ("off", False), ("true", True), ("0", False)])
async def test_a_checked_box_is_on(kind, text, value):
    status, answer = await urlencoded(kind, f"agreed={text}")
    assert (status, answer["agreed"]) == (200, value)


@pytest.mark.parametrize("base", [msgspec.Struct, pydantic.BaseModel])
async def test_a_box_without_a_default_that_is_left_out_is_not_checked(base):
    kind = type("Kind", (base,), {"__annotations__": {"agreed": bool, "text": str}})
    view = view_of(kind)
    request = requests.generic("POST", "/", b"text=a", content_type="application/x-www-form-urlencoded")
    assert json.loads((await view.as_view()(request)).content) == {"agreed": False, "text": "a"}
    as_json = requests.generic("POST", "/", b'{"text": "a"}', content_type="application/json")
    assert (await view.as_view()(as_json)).status_code == 422


@pytest.mark.parametrize("kind", [Fields, PFields])
async def test_several_values_of_one_name_are_a_list(kind):
    status, answer = await urlencoded(kind, "tags=a&tags=b&years=1&years=&years=2")
    assert (status, answer["tags"], answer["years"]) == (200, ["a", "b"], [1, 2])


async def test_the_names_of_a_model_work_in_a_form():
    class Named(pydantic.BaseModel):
        size: int = pydantic.Field(10, validation_alias=pydantic.AliasChoices("page_size", "pageSize"))

    assert await urlencoded(Named, "pageSize=5") == (200, {"size": 5})


# The document


def media_types(kind):
    view = view_of(kind)
    endpoint = Endpoint(path="/", view=view, options={}, parameters={}, defaults={})
    body = request_body(endpoint, "POST", view.handler_signatures["post"].plan(()), Components())
    return {each: content["schema"] for each, content in body["content"].items()}


JSON, URLENCODED, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"


class Aliased(msgspec.Struct):
    files: Annotated[list[UploadedFile], msgspec.Meta(max_length=3)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Upload, {MULTIPART}),
        (Aliased, {MULTIPART}),
        (Parts, {JSON, MULTIPART}),
        (Fields, {JSON, URLENCODED, MULTIPART}),
        (PFields, {JSON, URLENCODED, MULTIPART}),
        (list[int], {JSON}),
    ],
)
def test_a_body_is_documented_in_the_media_types_that_it_comes_in(kind, expected):
    assert set(media_types(kind)) == expected


def test_an_unchecked_box_is_not_required_of_a_form():
    class Kind(msgspec.Struct):
        agreed: bool
        text: str

    schemas = media_types(Kind)
    assert (schemas[URLENCODED]["required"], "$ref" in schemas[JSON]) == (["text"], True)


def test_a_handler_that_says_what_it_takes_and_has_no_body_has_none():
    class Take(AsyncAPIView):
        async def post(self, request, page: int = 1) -> None: ...

        async def delete(self, request): ...

        async def put(self, request): ...

    endpoint = Endpoint(path="/", view=Take, options={}, parameters={}, defaults={})
    plan = Take.handler_signatures["post"].plan(())
    made = {method: request_body(endpoint, method, plan, Components()) for method in ("POST", "DELETE", "PUT")}
    assert (made["POST"], made["DELETE"]) == (None, None)
    assert made["PUT"] is not None
