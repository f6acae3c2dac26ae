"""The metrics of the pool and of stalls, after a known load."""

import asyncio
import time

import pytest
from django.db import connection

from daf_orm import database_sync_to_async, transaction
from daf_orm._pool.metrics import METRICS
from daf_orm._pool.process_pool import reset_pool
from daf_orm.detection import watchdog
from daf_orm.metrics import collect
from tests.project.library.models import Author


def read():
    return {reading.metric.name: reading.series.get(()) for reading in collect()}


def test_each_statistic_has_a_metric(pool_with):
    pool = pool_with()
    assert METRICS.keys() == pool.get_stats().keys()


def test_without_a_pool_there_is_no_series_and_none_is_made(monkeypatch):
    reset_pool()
    monkeypatch.setattr("daf_orm._pool.process_pool.get_pool", lambda: 1 / 0)
    assert read()["daf_pool_size"] is None


async def test_leases_are_counted(pool_with):
    pool_with()
    for _ in range(3):
        await Author.objects.acount()
    await asyncio.gather(*(Author.objects.acount() for _ in range(4)))
    async with transaction.atomic():
        await Author.objects.acount()
        await Author.objects.acount()
        inside = read()
    assert inside["daf_pool_requests_total"] == 8
    assert inside["daf_pool_size"] - inside["daf_pool_available"] == 1
    after = read()
    assert after["daf_pool_size"] == after["daf_pool_available"] >= 1
    assert after["daf_pool_errors_total"] == after["daf_pool_waiting"] == 0


async def test_waits_are_counted_in_seconds(pool_with):
    pool_with(MAX_SIZE=1)
    async with transaction.atomic():
        waiting = asyncio.create_task(owner_of_its_own())
        while not read()["daf_pool_waiting"]:
            await asyncio.sleep(0)
        began = time.monotonic()
        await asyncio.sleep(0.05)
        least = time.monotonic() - began
    await waiting
    after = read()
    assert least - 0.001 <= after["daf_pool_wait_seconds_total"] < least + 5
    assert (after["daf_pool_queued_total"], after["daf_pool_max_size"]) == (1, 1)


async def owner_of_its_own():
    from contextvars import Context  # noqa: PLC0415

    await asyncio.get_running_loop().create_task(Author.objects.acount(), context=Context())


@pytest.mark.usefixtures("many_connections")
async def test_pins_and_resets_are_counted(pool_with):
    pool_with(MAX_SIZE=3)

    def set_something():
        statement = {"sqlite": "PRAGMA cache_size = 123", "postgresql": "SET lock_timeout = 1234"}
        with connection.cursor() as cursor:
            cursor.execute(statement.get(connection.vendor, "SET @daf = 1"))

    pinned, go_on = asyncio.Event(), asyncio.Event()

    async def pin():
        await database_sync_to_async(set_something)()
        pinned.set()
        await go_on.wait()

    before = read()["daf_pool_returns_cleaned_total"]
    task = asyncio.create_task(pin())
    await pinned.wait()
    assert read()["daf_pool_pinned"] == 1
    assert read()["daf_pool_returns_cleaned_total"] == before
    go_on.set()
    await task
    async with asyncio.timeout(10):
        while read()["daf_pool_pinned"]:
            await asyncio.sleep(0.001)
    assert read()["daf_pool_returns_cleaned_total"] == before + 1
    await Author.objects.acount()
    assert read()["daf_pool_returns_cleaned_total"] == before + 1  # an untouched one is only handed back


async def test_stalls_are_those_of_the_watchdog(settings):
    settings.DAF_ORM = {"WATCHDOG": {"THRESHOLD": 0.05}, "BLOCKING": "off"}
    await Author.objects.acount()  # it starts the watchdog
    await asyncio.sleep(0.1)
    time.sleep(0.4)  # noqa: ASYNC251 - the stall
    async with asyncio.timeout(10):
        while watchdog.get_stats()["longest_ms"] <= 200:  # it counts a stall first, and measures it when it has ended
            await asyncio.sleep(0.01)
    assert read()["daf_loop_stalls_total"] == watchdog.get_stats()["stalls"] >= 1
    assert 0.2 < read()["daf_loop_longest_stall_seconds"] < 10
