"""Transactions, cursors and functions that are made awaitable keep the types of what they wrap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, assert_type

from shop.models import Author

import daf_orm
from daf_orm import (
    allow_blocking,
    await_safe,
    cursor,
    database_sync_to_async,
    get_pool,
    notifications,
    pinned,
    runs_in_thread,
    transaction,
)
from daf_orm.cursor import AsyncCursor
from daf_orm.test import count_hops, record_blocking


@database_sync_to_async
def report(year: int, *, full: bool = False) -> str:
    return f"{year} {full}"


@transaction.atomic
async def sell(book: int, copies: int = 1) -> bool:
    return book > copies


@transaction.atomic(using="other", durable=True)
async def refund(order: int) -> None:
    await asyncio.sleep(order)


@transaction.atomic  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
def synchronous(order: int) -> None:
    print(order)


@transaction.atomic  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
async def generator(order: int) -> AsyncIterator[int]:
    yield order


@allow_blocking(reason="once")
def legacy(name: str) -> int:
    return len(name)


@runs_in_thread
def receiver(name: str) -> int:
    return len(name)


def untyped(name, size=1):  # type: ignore[no-untyped-def]
    return name * size


def future(number: int) -> asyncio.Future[str]:
    raise NotImplementedError(number)


class Service:
    @database_sync_to_async
    def load(self, pk: int) -> Author:
        return Author.objects.get(pk=pk)

    @transaction.atomic
    async def store(self, author: Author) -> int:
        await author.asave()
        return 1


async def functions() -> None:
    assert_type(await report(2026, full=True), str)
    assert_type(await sell(1), bool)
    assert_type(await refund(1), None)
    assert_type(await Service().load(1), Author)
    assert_type(await Service().store(Author()), int)
    assert_type(legacy("x"), int)
    assert_type(receiver("x"), int)
    assert_type(await database_sync_to_async(len)("x"), int)
    assert_type(await database_sync_to_async(Author.objects.get)(pk=1), Author)
    await database_sync_to_async(untyped)("x")
    task = asyncio.create_task(sell(1))
    assert_type(await task, bool)


async def whatever_it_is() -> None:
    assert_type(await await_safe(Author.objects.get)(pk=1), Author)
    assert_type(await await_safe(Author.objects.aget)(pk=1), Author)
    assert_type(await await_safe(sell)(1), bool)
    assert_type(await await_safe(future)(1), str)
    assert_type(await await_safe(len)("x"), int)
    assert_type(await await_safe(lambda: 3)(), int)
    await await_safe(untyped)("x")


async def blocks() -> None:
    async with transaction.atomic() as block, transaction.atomic("other", savepoint=False, durable=False):
        assert_type(block, None)
        transaction.on_commit(lambda: None)
        transaction.on_commit(refund_later, robust=True)
    async with cursor() as opened:
        assert_type(opened, AsyncCursor)
        await opened.execute("SELECT %s", [1])
        assert_type(await opened.fetchone(), tuple[Any, ...] | None)
        async with opened.copy("COPY x TO STDOUT") as copy:
            assert_type(await copy.read(), bytes)
    async with notifications("orders") as arriving:
        async for notification in arriving:
            assert_type(notification.payload, str)
    async with pinned("other"):
        assert_type(get_pool().get_stats()["connections_num"], int)
    with allow_blocking(reason="once"), count_hops() as hops, record_blocking() as calls:
        assert_type(hops.total, int)
        assert_type([call.lineno for call in calls], list[int])


async def refund_later() -> None:
    await refund(1)


async def what_is_refused() -> None:
    daf_orm.AsyncMistake  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    await report("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await report(1, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await sell("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await refund()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await Service().load("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await await_safe(sell)("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await_safe(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    database_sync_to_async(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    legacy(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    allow_blocking()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    transaction.on_commit(refund(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async with transaction.atomic(3):  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
        pass
    with transaction.atomic():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    with cursor():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    with pinned():  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
