"""Attributes that only code on the event loop itself needs are replaced for the native route alone."""

from collections.abc import Iterator

import pytest
from asgiref.sync import AsyncToSync
from django.utils import asyncio as django_asyncio

from daf_orm._django import bridges
from daf_orm._pool.making import lease_maker
from daf_orm._pool.pool import ConnectionPool

pytestmark = pytest.mark.no_database


@pytest.fixture(autouse=True)
def inactive() -> Iterator[None]:
    was_active = bridges.PATCHES.is_active
    bridges.PATCHES.deactivate()
    yield
    (bridges.PATCHES.activate if was_active else bridges.PATCHES.deactivate)()


@pytest.mark.parametrize("on_loop", [False, True])
def test_the_replaced_attributes_are_those_of_the_native_route(*, on_loop: bool) -> None:
    before = vars(AsyncToSync)["__call__"], django_asyncio.get_running_loop
    home = object.__new__(ConnectionPool)

    lease_maker(home, runs_on_loop=on_loop)

    now = vars(AsyncToSync)["__call__"], django_asyncio.get_running_loop
    assert [after is not original for after, original in zip(now, before, strict=True)] == [on_loop, on_loop]
