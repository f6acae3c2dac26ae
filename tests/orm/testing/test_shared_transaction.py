"""Async tests in a test's transaction: everything sees its rows, and all of them are rolled back."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.db import transaction as django_transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from daf_orm import PoolTimeout, cursor, database_sync_to_async, get_pool, transaction
from tests.project.library.models import Author, Publisher

rolled_back = pytest.mark.django_db(databases=["default", "other"])
pytestmark = rolled_back


@pytest.fixture
def author() -> Author:
    return Author.objects.create(name="made in a synchronous fixture")


@pytest.fixture
async def publisher() -> Publisher:
    return await Publisher.objects.acreate(name="made in an async fixture")


async def test_a_row_of_a_synchronous_fixture_is_seen(author: Author) -> None:
    assert await Author.objects.aget() == author


@pytest.mark.parametrize("number", [1, 2])
async def test_the_test_before_has_left_nothing(number: int) -> None:
    assert await Author.objects.acount() == 0
    assert await Publisher.objects.acount() == 0
    await Author.objects.acreate(name="a")
    await Publisher.objects.acreate(name="a stock manager's")


def test_nothing_is_left_for_a_synchronous_test() -> None:
    assert not Author.objects.exists()


async def test_a_row_of_an_async_fixture_is_seen(publisher: Publisher) -> None:
    assert await Publisher.objects.aget() == publisher


async def test_every_way_to_the_database_sees_the_same_rows(author: Author) -> None:
    async with cursor() as cur:
        await cur.execute("SELECT count(*) FROM library_author")
        assert await cur.fetchone() == (1,)
    assert await database_sync_to_async(Author.objects.count)() == 1
    assert await sync_to_async(Author.objects.count)() == 1
    assert await sync_to_async(Author.objects.count, thread_sensitive=False)() == 1
    assert [row.pk async for row in Author.objects.aiterator()] == [author.pk]


async def test_every_way_to_write_is_rolled_back_and_seen_meanwhile() -> None:
    await sync_to_async(Author.objects.create)(name="bare")
    async with transaction.atomic():
        await Author.objects.acreate(name="in a block")
    await asyncio.gather(*(Author.objects.acreate(name=str(number)) for number in range(5)))

    assert await Author.objects.acount() == 7


async def test_a_block_that_fails_is_rolled_back_alone() -> None:
    await Author.objects.acreate(name="kept")
    with pytest.raises(ZeroDivisionError):
        async with transaction.atomic():
            await Author.objects.acreate(name="lost")
            raise ZeroDivisionError

    assert [author.name async for author in Author.objects.all()] == ["kept"]


async def test_a_durable_block_is_allowed_as_in_django() -> None:
    async with transaction.atomic(durable=True):
        await Author.objects.acreate(name="a")


async def test_several_databases() -> None:
    await Author.objects.using("other").acreate(name="there")

    assert await Author.objects.acount() == 0
    assert await Author.objects.using("other").acount() == 1


def test_nothing_is_left_in_the_other_database() -> None:
    assert not Author.objects.using("other").exists()


@pytest.mark.django_db(databases=["default"])
async def test_a_database_that_the_test_did_not_ask_for_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"(?s)'other' are not allowed"):
        await Author.objects.using("other").acount()


async def test_the_pool_lends_the_tests_one_connection() -> None:
    await Author.objects.acount()

    assert get_pool().get_stats()["pool_max"] == 1
    assert get_pool().get_stats()["connections_open"] == 0


async def test_queries_can_be_counted() -> None:
    with CaptureQueriesContext(connection) as queries:
        await Author.objects.acount()
        await Author.objects.acount()

    assert len(queries) == 2


async def test_callbacks_can_be_captured() -> None:
    calls = []
    with TestCase.captureOnCommitCallbacks(execute=False) as callbacks:
        async with transaction.atomic():
            transaction.on_commit(lambda: calls.append("called"))

    assert len(callbacks) == 1
    assert calls == []


@pytest.mark.django_db
async def test_the_error_of_a_wait_for_the_tests_connection_does_not_mention_max_size(settings: Any) -> None:
    settings.DAF_ORM = {"TIMEOUT": 0.05}
    outside = asyncio.Event()

    async def count() -> None:
        await outside.wait()
        await Author.objects.acount()

    waits = asyncio.create_task(count())
    async with transaction.atomic():
        outside.set()
        with pytest.raises(
            PoolTimeout, match=r"A test has one: start the task inside .* transactional\. Held at: .*py"
        ):
            await waits


class TestWithClassData(TestCase):
    """Django's own, which waits for each async test: rule 1."""

    databases: ClassVar = {"default", "other"}

    @classmethod
    def setUpTestData(cls) -> None:
        cls.author = Author.objects.create(name="of the class")

    async def test_rows_of_the_class_are_seen(self) -> None:
        assert await Author.objects.aget() == self.author
        await Author.objects.acreate(name="of this test")

    async def test_and_only_those(self) -> None:
        assert await Author.objects.acount() == 1


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.usefixtures("many_connections")
async def test_a_transactional_test_has_the_pools_own_connections() -> None:
    await Author.objects.acreate(name="committed")

    assert get_pool().get_stats()["connections_open"] == 1
    assert connections["default"] is not None


@pytest.mark.asyncio(loop_scope="module")
class TestOnOneLoop:
    """Tests of one module may share an event loop, and the tasks that wait on it."""

    @pytest.mark.parametrize("number", [1, 2])
    async def test_rows_are_rolled_back_between_them(self, number: int) -> None:
        assert await Author.objects.acount() == 0
        await Author.objects.acreate(name="a")


@pytest.fixture
def left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    tasks: list[Any] = []
    yield tasks
    assert "connections are lent" not in caplog.text


@pytest.fixture
async def held() -> AsyncIterator[None]:
    async with transaction.atomic():
        yield


async def test_a_fixture_may_hold_a_block_around_the_test(held: None) -> None:
    await Author.objects.acreate(name="a")
    assert await Author.objects.acount() == 1


def write_and_roll_back(inside: threading.Event, go_on: threading.Event) -> None:
    with suppress(ZeroDivisionError), django_transaction.atomic():
        Publisher.objects.create(name="lost")
        inside.set()
        go_on.wait(0.3)
        raise ZeroDivisionError


@pytest.mark.parametrize("thread_sensitive", [True, False])
async def test_a_bare_hop_and_a_lease_do_not_mix_their_savepoints(thread_sensitive: bool) -> None:  # noqa: FBT001
    inside, go_on = threading.Event(), threading.Event()
    bare = sync_to_async(write_and_roll_back, thread_sensitive=thread_sensitive)
    hop = asyncio.create_task(bare(inside, go_on))
    await asyncio.to_thread(inside.wait)

    await Publisher.objects.acreate(name="kept")
    await hop

    assert [publisher.name async for publisher in Publisher.objects.all()] == ["kept"]
