"""The bookshop's own document."""

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

pytestmark = [pytest.mark.sqlite_memory, pytest.mark.timeout(180)]  # the bookshop brings its own database, and opens


@pytest.fixture
def document(shop):
    with shop.client() as client:
        return client.get("/api/openapi.json").raise_for_status().json()


def test_it_is_valid(document):
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_says_what_it_does_and_what_it_answers(document):
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert len(operations) == 14
    for operation in operations:
        assert operation["summary"]
        # A stream has no schema: server-sent events are not JSON.
        assert "2XX" not in operation["responses"] or operation["operationId"].endswith("_stream")
