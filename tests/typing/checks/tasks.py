"""Tasks keep the arguments of their function, and know what it returns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, assert_type

from django.utils import timezone

from daf_orm import transaction
from daf_views.tasks import AsyncTask, async_task, cron, every, run_in_background


@async_task
async def mail(order: int, *, loud: bool = False) -> bool:
    return loud and order > 0


@async_task
def pack(order: int, copies: int = 1) -> str:
    return f"{order} {copies}"


@async_task(retries=3, backoff=2, timeout=30, retry_on=(OSError,), unique=lambda order: str(order))
async def bill(order: int) -> None:
    print(order)


@async_task(schedule=every(minutes=5), unique=True, delay=1.5, durable=True, priority=10, queue_name="q")
def sweep() -> int:
    return 1


@async_task(schedule=cron("30 3 * * *"), takes_context=True)
async def nightly(context: Any) -> int:
    return int(context.attempt)


@async_task(takes_context=True, retries=2)
def tracked(context: Any, order: int, name: str = "") -> str:
    return f"{context} {order} {name}"


@async_task
@transaction.atomic
async def settle(order: int) -> bool:
    return order > 0


@async_task
async def load(payload: dict[str, Any]) -> list[int]:
    return [len(payload)]


async def results() -> None:
    assert_type((await mail.aenqueue(1, loud=True)).return_value, bool)
    assert_type(mail.enqueue(order=1).return_value, bool)
    assert_type(await mail(1), bool)
    assert_type((await pack.aenqueue(1, copies=2)).return_value, str)
    assert_type(await pack(1, 2), str)
    assert_type(await bill(1), None)
    assert_type(await sweep(), int)
    assert_type(await nightly(), int)
    assert_type(await tracked(1, name="x"), str)
    assert_type((await tracked.aenqueue(1)).return_value, str)
    assert_type(await settle(1), bool)
    assert_type(await load({"a": 1}), list[int])
    assert_type((await mail.aget_result("id")).return_value, bool)
    assert_type(await mail.using(priority=1, run_after=timezone.now() + timedelta(hours=1))(1), bool)
    assert_type(await mail.acancel("id"), bool)
    mail.delay(1)
    run_in_background(fetch, 1, name="x")


async def fetch(number: int, *, name: str) -> None:
    print(number, name)


def any_task(task: AsyncTask[..., Any]) -> str:
    return task.name


any_task(mail)


async def what_is_refused() -> None:
    await mail.aenqueue("wrong")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await mail.aenqueue(1, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await mail(1, load=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    mail.enqueue()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    mail.delay("wrong")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    pack.enqueue("wrong")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bill.aenqueue("wrong")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await sweep.aenqueue(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await tracked.aenqueue("wrong")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await settle.aenqueue("wrong")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    wrong: str = await mail(1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(wrong)
    async_task(retries="3")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    async_task(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    run_in_background(fetch, "x", name="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run_in_background(len, "x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
