"""The three rules: the thread of synchronous code, its connection, and its leftovers."""

import asyncio
import contextvars
import threading

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, transaction

from daf_orm import await_safe, database_sync_to_async, get_pool
from tests.project.library.models import Author, Book, Counter

colour = contextvars.ContextVar("colour", default="none")


async def test_a_call_returns_its_lease() -> None:
    await Author.objects.acreate(name="Ursula")

    assert await Author.objects.acount() == 1
    stats = get_pool().get_stats()
    assert stats["pool_available"] == stats["pool_size"]


async def test_stock_managers_and_stock_instances_follow_the_rules() -> None:
    counter = Counter(name="stock")
    await counter.asave()

    assert await Counter.objects.aget(name="stock") == counter
    assert get_pool().get_stats()["requests_num"] >= 2


async def test_context_variables_cross_both_ways() -> None:
    @database_sync_to_async
    def repaint() -> str:
        seen = colour.get()
        colour.set("blue")
        return seen

    colour.set("red")
    assert await repaint() == "red"
    assert colour.get() == "blue"


def test_under_a_sync_parent_calls_run_on_its_thread_and_see_its_transaction(db: None) -> None:
    @async_to_sync
    async def count() -> tuple[int, int]:
        thread = await database_sync_to_async(threading.get_ident)()
        return await Author.objects.acount(), thread

    with transaction.atomic():
        Author.objects.create(name="Italo")
        assert count() == (1, threading.get_ident())


async def test_bare_sync_to_async_code_leaves_no_connection_open() -> None:
    def query_and_report() -> object:
        Author.objects.count()
        return connection.connection

    await sync_to_async(query_and_report, thread_sensitive=True)()

    assert await sync_to_async(lambda: connection.connection)() is None or connection.is_in_memory_db()


async def test_await_safe_takes_sync_and_async_callables() -> None:
    author = await await_safe(Author.objects.create)(name="Stanisław")

    assert await await_safe(Author.objects.aget)(pk=author.pk) == author


def test_database_sync_to_async_refuses_coroutine_functions() -> None:
    async def already() -> None: ...

    with pytest.raises(TypeError, match="synchronous function"):
        database_sync_to_async(already)


async def test_a_queryset_is_evaluated_in_one_hop_with_its_prefetches() -> None:
    author = await Author.objects.acreate(name="Ursula")
    await Book.objects.acreate(title="Earthsea", author=author)
    before = get_pool().get_stats()["requests_num"]

    books = await Book.objects.select_related("author").prefetch_related("tags").alist()

    assert [book.author.name for book in books] == ["Ursula"]
    assert list(books[0].tags.all()) == []
    assert get_pool().get_stats()["requests_num"] == before + 1


async def test_gathered_calls_run_in_parallel_up_to_the_pool_size() -> None:
    size = get_pool().max_size
    barrier = threading.Barrier(size)
    meet = database_sync_to_async(lambda: barrier.wait(timeout=20))

    assert sorted(await asyncio.gather(*(meet() for _ in range(size)))) == list(range(size))


async def test_await_safe_requires_the_callable_itself() -> None:
    with pytest.raises(TypeError, match=r"takes the callable itself, not int"):
        await_safe(5)  # type: ignore[arg-type]
