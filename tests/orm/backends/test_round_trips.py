"""Round trips, counted between the program and its server, since a slow network makes them slow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections

from daf_orm import transaction
from daf_orm._pool.process_pool import reset_pool
from tests.project.library.models import Counter
from tests.support.latency import LatencyProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True, databases=["default", "other"])]


@pytest.fixture
def network(
    transactional_db: None, pool_with: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[LatencyProxy]:
    with LatencyProxy(int(connection.settings_dict["PORT"])) as proxy:
        monkeypatch.setitem(connections.settings["default"], "PORT", str(proxy.port))
        pool_with(MAX_SIZE=1)
        yield proxy
        reset_pool()


async def change(pk: int) -> None:
    async with transaction.atomic():
        counter = await Counter.objects.select_for_update().aget(pk=pk)
        counter.value += 1
        await counter.asave(update_fields=["value"])


async def test_a_read_modify_write_is_three_round_trips_on_the_event_loop_and_four_on_threads(
    network: LatencyProxy,
) -> None:
    counter = await Counter.objects.acreate(name="a", value=1)
    await change(counter.pk)
    before = network.round_trips
    assert before > 0  # the connection leads through it

    await change(counter.pk)

    assert network.round_trips - before == (3 if getattr(connection, "runs_on_event_loop", False) else 4)
    await counter.arefresh_from_db()
    assert counter.value == 3


async def test_a_query_outside_a_block_is_one_round_trip(network: LatencyProxy) -> None:
    counter = await Counter.objects.acreate(name="a")
    await Counter.objects.aget(pk=counter.pk)
    before = network.round_trips

    await Counter.objects.aget(pk=counter.pk)

    assert network.round_trips - before == 1
