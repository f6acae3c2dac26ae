"""One bookshop for all tests of this folder that a process runs."""

from collections.abc import Iterator

import pytest

from tests.bookshop.running import Shop, running_bookshop


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    with running_bookshop() as shop:
        yield shop
