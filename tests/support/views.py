"""Fixtures of the tests under ``tests/views`` and ``tests/scenarios/views``."""

import os
from collections.abc import Iterator

import pytest

from tests.support.servers import valkey


@pytest.fixture(autouse=True)
def urlpatterns_of_the_module(request, settings):
    """A test module with ``urlpatterns`` is its own URLconf."""
    if hasattr(request.module, "urlpatterns"):
        settings.ROOT_URLCONF = request.module.__name__


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The server at REDIS_URL, or one that the suite starts."""
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    with valkey() as server:
        yield server.connection_url
