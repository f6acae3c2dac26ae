"""Descriptions of an operation by decorators, and by annotations with responses."""

import json

import msgspec
import pydantic
import pytest
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path
from openapi_spec_validator import OpenAPIV31SpecValidator

from daf_views import AsyncAPIView
from daf_views.exceptions import ConflictError
from daf_views.openapi import operation, raises, responds
from daf_views.openapi.document import document


class Job(msgspec.Struct):
    id: int


class Changing(pydantic.BaseModel):
    name: str = pydantic.Field(validation_alias="given", serialization_alias="shown")


def described(view, target="it"):
    made = document(type("urls", (), {"urlpatterns": [path(target, view.as_view())]}))
    made = json.loads(json.dumps(made))
    OpenAPIV31SpecValidator(made).validate()
    return made["paths"][f"/{target}"], made["components"]


def test_several_statuses_with_their_types_and_headers():
    class View(AsyncAPIView):
        @responds(202, Job, headers={"Location": "Where to ask."}, description="Later.")
        @responds(303)
        async def post(self, request, body: Job) -> Job: ...

    answers = described(View)[0]["post"]["responses"]
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}}
    assert answers["200"]["content"] == content
    assert answers["202"] == {
        "description": "Later.",
        "headers": {"Location": {"description": "Where to ask.", "schema": {"type": "string"}}},
        "content": content,
    }
    assert answers["303"] == {"description": "See Other"}


def test_a_described_response_replaces_the_default_success():
    class View(AsyncAPIView):
        @responds(200, media_type="text/csv")
        async def get(self, request) -> HttpResponse: ...

    answers = described(View)[0]["get"]["responses"]
    assert answers["200"]["content"] == {"text/csv": {"schema": {}}}
    assert "2XX" not in answers


@pytest.mark.parametrize("kind", [FileResponse, StreamingHttpResponse])
def test_a_download_is_binary(kind):
    class View(AsyncAPIView):
        async def get(self, request): ...

    View.get.__annotations__["return"] = kind
    answer = described(View)[0]["get"]["responses"]["200"]
    assert answer["content"] == {"*/*": {"schema": {"type": "string", "format": "binary"}}}


def test_ids_tags_and_deprecation():
    @operation(tags=["shop"], deprecated=True)
    class View(AsyncAPIView):
        @operation(id="listJobs")
        async def get(self, request): ...

        @operation(tags=["jobs", "admin"])
        async def put(self, request): ...

    get, put = described(View)[0]["get"], described(View)[0]["put"]
    assert (get["operationId"], get["tags"], get["deprecated"]) == ("listJobs", ["shop"], True)
    assert (put["operationId"], put["tags"], put["deprecated"]) == ("put_it", ["jobs", "admin"], True)


def test_without_them_nothing_is_said():
    class View(AsyncAPIView):
        async def get(self, request): ...

    assert "deprecated" not in described(View)[0]["get"]


def test_the_input_and_output_of_a_type_are_two_schemas():
    class View(AsyncAPIView):
        async def post(self, request, body: Changing) -> list[Changing]: ...

    item, components = described(View)
    content = item["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(content["properties"]) == {"given"}
    assert set(components["schemas"]["Changing"]["properties"]) == {"shown"}

    class Nested(AsyncAPIView):
        async def post(self, request, body: list[Changing]) -> list[Changing]: ...

    _, components = described(Nested)
    assert set(components["schemas"]["Changing"]["properties"]) == {"given"}
    assert set(components["schemas"]["ChangingOutput"]["properties"]) == {"shown"}


def test_problems_are_shared_and_small():
    class View(AsyncAPIView):
        @raises(ConflictError)
        async def post(self, request, body: Job) -> Job: ...

    item, components = described(View)
    problems = {status: each for status, each in item["post"]["responses"].items() if status >= "4"}
    assert problems["409"] == {"$ref": "#/components/responses/Conflict"}
    assert all(set(each) == {"$ref"} for each in problems.values())
    assert len(json.dumps(problems)) < 700
    assert components["responses"]["Conflict"]["content"]["application/problem+json"]["example"]["status"] == 409


def test_a_status_and_a_type_must_be_ones():
    with pytest.raises(TypeError, match="there is no such status"):
        responds(299)
    with pytest.raises(TypeError, match="No installed library can check"):
        responds(200, object())
    with pytest.raises(TypeError, match="give a list of tags"):
        operation(tags="shop")
    with pytest.raises(TypeError, match="has several handlers"):
        operation(id="x")(AsyncAPIView)
