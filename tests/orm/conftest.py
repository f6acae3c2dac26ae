from collections.abc import Iterator

import pytest

from tests.support.leases import many_connections, no_connection_outlives_the_run, no_lease_is_lost, pool_with
from tests.support.zygote import Zygote

__all__ = ["many_connections", "no_connection_outlives_the_run", "no_lease_is_lost", "pool_with"]


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    with Zygote() as zygote:
        yield zygote
