"""Each backend that carries broadcasts, really."""

import uuid

import pytest
import pytest_asyncio
from django.db import connection

from daf_views.streaming.broadcast.backends import BACKENDS, get_backend

MARKS = {kind: pytest.mark.postgresql if kind == "postgresql" else pytest.mark.sqlite_memory for kind in BACKENDS}


@pytest.fixture(params=[pytest.param(kind, marks=MARKS[kind]) for kind in BACKENDS])
def kind(request) -> str:
    return request.param


@pytest.fixture
def named(kind, request, settings) -> dict[str, str]:
    """The settings of one kind of backend, with a prefix that no other test has."""
    location = request.getfixturevalue("redis_url") if kind == "redis" else ""
    named = {
        "BROADCAST_BACKEND": kind,
        "BROADCAST_LOCATION": location,
        "BROADCAST_PREFIX": f"test-[{uuid.uuid4().hex[:12]}]*",  # to Redis, brackets and stars are a pattern
    }
    settings.DAF_VIEWS = named
    return named


@pytest_asyncio.fixture
async def backend(named, transactional_db):
    assert connection.vendor == "postgresql" or named["BROADCAST_BACKEND"] != "postgresql"
    yield get_backend()
    await get_backend().aclose()
