"""The guard: the effect of a call in each mode, the places where it is allowed, and its receivers."""

import asyncio
import inspect
import logging
import os
import sys
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation
from django.core.paginator import Paginator
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.transaction import TransactionManagementError
from django.db.utils import DatabaseErrorWrapper
from django.utils import asyncio as django_asyncio

from daf_orm import BlockingCall, BlockingCallError, allow_blocking, transaction
from daf_orm.detection import allowances, findings, frames, guard, recorders, report
from daf_orm.detection.recorders import CallList
from daf_orm.test import record_blocking
from tests.project.library.models import Author


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> CallList:
    """The calls recorded here, which do not fail the test."""
    calls = CallList()
    monkeypatch.setattr(recorders, "_recorders", [calls])
    monkeypatch.setattr(guard, "_forced_mode", None)
    monkeypatch.setattr(report, "_logged", type(report._logged)())
    return calls


@pytest.fixture
def mode(settings: Any, recorded: CallList) -> Any:
    if not (connection.vendor == "sqlite" and connection.is_in_memory_db()):
        pytest.skip("a call that is let through opens another connection here; the database makes no difference")

    def choose(mode: str | None, **others: Any) -> CallList:
        settings.DAF_ORM = {"BLOCKING": mode, **others}
        return recorded

    return choose


# Modes


async def test_raise_records_logs_and_raises_a_synchronous_only_operation(
    mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = mode("raise")

    with pytest.raises(SynchronousOnlyOperation) as caught:
        Author.objects.count()

    assert isinstance(caught.value, BlockingCallError)
    assert recorded.calls == [caught.value.call]
    assert caplog.records[-1].levelno == logging.ERROR


async def test_warn_warns_at_the_users_line_and_lets_it_run(mode: Any) -> None:
    recorded = mode("warn")

    with pytest.warns(guard.BlockingCallWarning, match=r"await Author\.objects\.acount\(\)") as warned:
        assert Author.objects.count() == 0

    assert warned[0].filename == __file__
    assert [call.operation for call in recorded.calls] == ["QuerySet.count"]


async def test_log_logs_with_fields_and_lets_it_run(mode: Any, caplog: pytest.LogCaptureFixture) -> None:
    mode("log")

    assert Author.objects.count() == 0

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("daf_orm.blocking", logging.WARNING)
    assert record.blocking_call["model"] == "library.Author"
    assert record.blocking_call["count"] == 1


async def test_a_site_is_logged_the_1st_10th_and_100th_time(mode: Any, caplog: pytest.LogCaptureFixture) -> None:
    mode("log")

    for _ in range(100):
        Author.objects.count()
        await asyncio.sleep(0)

    assert [record.blocking_call["count"] for record in caplog.records] == [1, 10, 100]


async def test_off_leaves_it_to_django(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = mode("off")

    with pytest.raises(SynchronousOnlyOperation) as caught:
        Author.objects.count()
    assert type(caught.value) is SynchronousOnlyOperation
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    assert Author.objects.count() == 0

    assert recorded.calls == []


async def test_djangos_environment_variable_does_not_blind_the_guard(
    mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode("raise")
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

    with pytest.raises(BlockingCallError):
        Author.objects.count()


async def test_the_default_is_raise_and_in_a_notebook_warn(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mode(None)
    assert guard.current_mode() == "raise"

    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))

    assert guard.current_mode() == "warn"


async def test_one_expression_is_one_call_however_many_statements_it_sends(mode: Any) -> None:
    recorded = mode("log")

    Author.objects.get_or_create(name="a")
    list(Author.objects.all())

    assert [call.operation for call in recorded.calls] == ["QuerySet.get_or_create", "QuerySet.__iter__"]


async def test_each_turn_of_a_loop_is_a_call(mode: Any) -> None:
    recorded = mode("log")

    for _ in range(3):
        Author.objects.count()

    assert len(recorded.calls) == 3


async def test_no_user_code_runs_to_describe_a_call(mode: Any) -> None:
    mode("raise")
    read = []

    class View(Paginator):
        @property
        def model(self) -> Any:
            read.append(self)
            raise LookupError

    with pytest.raises(BlockingCallError):
        View(Author.objects.order_by("pk"), 1).page(1)

    assert not read


async def test_a_call_that_cannot_be_described_is_refused_too(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mode("raise")

    def fail(*_: Any) -> Any:
        raise LookupError

    for module, name in ((findings, "identify"), (findings, "suggest"), (findings.frames, "expression")):
        monkeypatch.setattr(module, name, fail)
    with pytest.raises(BlockingCallError) as caught:
        Author.objects.count()

    assert (caught.value.call.operation, caught.value.call.expression) == ("database", "")


# Allowances


async def test_a_scope_allows_it_also_in_tasks_started_inside(mode: Any) -> None:
    recorded = mode("raise")

    async def count() -> int:
        return Author.objects.count()

    with allow_blocking(reason="a test"):
        assert Author.objects.count() == 0
        assert await asyncio.create_task(count()) == 0
    with pytest.raises(BlockingCallError):
        Author.objects.count()

    assert len(recorded.calls) == 1


async def test_scopes_of_several_tasks_do_not_mix(mode: Any) -> None:
    mode("raise")
    inside, left = asyncio.Event(), asyncio.Event()
    scope = allow_blocking(reason="shared")

    async def first() -> None:
        with scope:
            inside.set()
            await left.wait()
            Author.objects.count()

    async def second() -> None:
        await inside.wait()
        with scope:
            pass
        left.set()
        with pytest.raises(BlockingCallError):
            Author.objects.count()

    await asyncio.gather(first(), second())


async def test_the_decorator_allows_it_in_functions_of_both_kinds(mode: Any) -> None:
    mode("raise")

    @allow_blocking(reason="a test")
    def count() -> int:
        return Author.objects.count()

    @allow_blocking(reason="a test")
    async def acount() -> int:
        await asyncio.sleep(0)
        return Author.objects.count()

    assert (count(), await acount()) == (0, 0)
    assert inspect.iscoroutinefunction(acount)


async def a_generator() -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize("generator", [a_generator, lambda: (yield)])
def test_a_generator_is_not_decorated_since_its_consumer_would_be_allowed_too(
    generator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "_scopes", {})  # this one stays unused
    with pytest.raises(TypeError, match=r"cannot decorate the generator .*: write `with allow_blocking"):
        allow_blocking(reason="a test")(generator)


def test_places_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "MAX_PLACES", 3)
    monkeypatch.setattr(allowances, "_scopes", {})
    for number in range(5):
        exec(compile("allow_blocking(reason='x')", f"<cell {number}>", "exec"), {"allow_blocking": allow_blocking})

    assert [place.partition(":")[0] for place in allowances._scopes] == [f"<cell {number}>" for number in (2, 3, 4)]
    assert frames.is_user_code.cache_info().maxsize == frames.MAX_FILES


def test_a_pattern_that_is_not_in_the_settings_any_more_is_not_called_unused(mode: Any) -> None:
    mode("raise", ALLOW_BLOCKING=["gone.*"])
    assert [allowance.place for allowance in allowances.unused() if "gone" in allowance.place]
    mode("raise")

    assert [allowance.place for allowance in allowances.unused() if "gone" in allowance.place] == []


def test_a_reason_is_required() -> None:
    with pytest.raises(ValueError, match="needs a reason"):
        allow_blocking(reason=" ")
    with pytest.raises(TypeError):
        allow_blocking()  # type: ignore[call-arg]


@pytest.mark.parametrize("pattern", ["tests.orm.detection.test_guard", "tests.*", "*:test_a_pattern_in_the_settings*"])
async def test_a_pattern_in_the_settings_allows_it(mode: Any, pattern: str) -> None:
    recorded = mode("raise", ALLOW_BLOCKING=[pattern])

    assert Author.objects.count() == 0

    assert recorded.calls == []


async def test_another_pattern_does_not(mode: Any) -> None:
    mode("raise", ALLOW_BLOCKING=["shop.*", "*:other"])

    with pytest.raises(BlockingCallError):
        Author.objects.count()
    unused = {allowance.place for allowance in allowances.unused()}

    assert {"DAF_ORM['ALLOW_BLOCKING']: 'shop.*'", "DAF_ORM['ALLOW_BLOCKING']: '*:other'"} <= unused


@pytest.mark.usefixtures("many_connections")
async def test_an_allowed_call_is_refused_inside_a_transaction_it_would_not_be_part_of() -> None:
    async with transaction.atomic():
        with (
            pytest.raises(TransactionManagementError, match="would run outside the transaction"),
            allow_blocking(reason="a test"),
        ):
            Author.objects.create(name="a stray")
        await Author.objects.acreate(name="kept")

    assert [author.name async for author in Author.objects.all()] == ["kept"]


# Recording


async def test_a_recorded_block_collects_runs_and_tells_no_other_recorder(
    mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = mode("raise")

    with record_blocking() as calls:
        assert Author.objects.count() == 0

    (call,) = calls
    assert isinstance(call, BlockingCall)
    assert recorded.calls == []
    assert caplog.records == []


async def test_worker_threads_are_left_alone(mode: Any) -> None:
    recorded = mode("raise")

    assert await sync_to_async(Author.objects.count)() == 0

    assert recorded.calls == []


# The patches


def originals() -> list[Any]:
    return [
        vars(django_asyncio)["os"],
        vars(DatabaseErrorWrapper)["__enter__"],
        vars(CursorWrapper)["__iter__"],
        vars(CursorWrapper)["__getattr__"],
    ]


def test_deactivate_restores_django() -> None:
    ours = originals()
    guard.deactivate()
    try:
        assert not guard.is_active()
        assert not guard.is_armed()
        assert all(one is not other for one, other in zip(originals(), ours, strict=True))
        assert originals()[0] is os
    finally:
        guard.activate()
    assert originals() == ours
    assert guard.is_armed()


@pytest.mark.postgresql
def test_a_backends_probe_is_restored_too() -> None:
    backend = type(connection.copy())
    ours = backend.is_usable
    guard.deactivate()
    try:
        assert backend.is_usable is inspect.unwrap(ours)
        assert backend.is_usable is not ours
    finally:
        guard.activate()


def test_djangos_choke_points_are_where_they_were() -> None:
    """Fails when a new Django asks in another way whether a loop runs, or calls drivers past its error wrapper."""
    guard.deactivate()
    try:
        asking = django_asyncio.async_unsafe(lambda: None).__code__
        assert {"get_running_loop", "os", "environ", "get"} <= set(asking.co_names)
        assert "wrap_database_errors" in CursorWrapper._execute.__code__.co_names
        assert {"wrap_database_errors", "WRAP_ERROR_ATTRS"} <= set(CursorWrapper.__getattr__.__code__.co_names)
        assert "wrap_database_errors" in CursorWrapper.__iter__.__code__.co_names
    finally:
        guard.activate()
