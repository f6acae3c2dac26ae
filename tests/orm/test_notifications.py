"""LISTEN and NOTIFY as an asynchronous iterator, on either engine."""

import asyncio

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db import InterfaceError, NotSupportedError, OperationalError, connection

from daf_orm import cursor, get_pool, notifications, transaction


async def notify(channel: str, payload: str) -> None:
    async with cursor() as cur:
        await cur.execute("SELECT pg_notify(%s, %s)", [channel, payload])


@pytest.mark.postgresql
async def test_notifications_arrive_in_order_with_their_channel() -> None:
    async with notifications("orders", 'odd "name"; --') as arriving:
        await notify("orders", "1")
        await notify('odd "name"; --', "2")
        await notify("other", "not for us")
        await notify("orders", "3")

        found = [await anext(arriving) for _ in range(3)]

    assert [(each.channel, each.payload) for each in found] == [
        ("orders", "1"),
        ('odd "name"; --', "2"),
        ("orders", "3"),
    ]
    assert all(each.pid > 0 for each in found)


@pytest.mark.postgresql
async def test_a_notification_of_a_block_arrives_with_its_commit_and_not_with_its_rollback() -> None:
    async with notifications("orders") as arriving:
        with pytest.raises(ZeroDivisionError):
            async with transaction.atomic():
                await notify("orders", "rolled back")
                raise ZeroDivisionError
        async with transaction.atomic():
            await notify("orders", "committed")

        assert (await anext(arriving)).payload == "committed"


@pytest.mark.postgresql
async def test_it_takes_no_connection_of_the_pool_and_leaves_none_open(sessions) -> None:
    async with notifications("orders"):
        assert get_pool().get_stats()["pool_size"] == 0
        assert len(sessions.open()) == 1
    await asyncio.to_thread(sessions.wait_until_closed)


@pytest.mark.postgresql
async def test_a_wait_can_be_cut_short_and_goes_on_later() -> None:
    async with notifications("orders") as arriving:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(arriving)

        waiting = asyncio.create_task(anext(arriving))
        await notify("orders", "1")
        assert (await waiting).payload == "1"


@pytest.mark.postgresql
async def test_a_lost_connection_is_an_error_that_says_what_to_do() -> None:
    async with notifications("orders") as arriving:
        waiting = asyncio.create_task(anext(arriving))
        await asyncio.sleep(0)
        with psycopg.connect(django_settings.DATABASE_URL, dbname="postgres", autocommit=True) as observer:
            observer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND query LIKE 'LISTEN%%'",
                [connection.settings_dict["NAME"]],
            )
        with pytest.raises(OperationalError, match="listen again"):
            await waiting


@pytest.mark.postgresql
@pytest.mark.parametrize("channels", [(), ("",), ("a" * 64,), ("a\0b",)])
async def test_a_name_of_no_channel_is_refused(channels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="channel"):
        async with notifications(*channels):
            pytest.fail("It listens.")


@pytest.mark.postgresql
async def test_a_proxy_in_transaction_mode_cannot_listen(settings) -> None:
    settings.DAF_ORM = {"SERVER_POOLED": True}
    with pytest.raises(InterfaceError, match="bypasses the proxy"):
        async with notifications("orders"):
            pytest.fail("It listens.")


@pytest.mark.sqlite
async def test_other_databases_have_none() -> None:
    with pytest.raises(NotSupportedError, match="PostgreSQL"):
        async with notifications("orders"):
            pytest.fail("It listens.")
