"""Entering Django's exception translator: evidence of a blocking call, or none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.db.utils import DatabaseErrorWrapper

from daf_orm import BlockingCallError
from daf_orm.detection import guard, record_blocking

pytestmark = pytest.mark.no_database


class AsyncDriver:
    """The methods of an asynchronous driver's connection and cursor."""

    async def fetchone(self) -> tuple[int]:
        await asyncio.sleep(0)
        return (42,)

    def nextset(self) -> None:
        """Ask for nothing: psycopg's has the next result already."""

    @contextlib.asynccontextmanager
    async def copy(self, statement: str) -> AsyncIterator[str]:
        yield statement

    async def stream(self, statement: str) -> AsyncIterator[str]:
        yield statement


class Backend:
    """A connection like Django's."""

    vendor = "fake"

    class Database:
        DataError = OperationalError = IntegrityError = InternalError = ProgrammingError = KeyError
        NotSupportedError = DatabaseError = InterfaceError = Error = KeyError

    def __init__(self, driver: object) -> None:
        self.connection = driver

    @property
    def wrap_database_errors(self) -> DatabaseErrorWrapper:
        return DatabaseErrorWrapper(self)


class Driver:
    """The methods of a synchronous driver's connection and cursor."""

    def fetchone(self) -> tuple[int]:
        return (42,)

    def fetch_later(self) -> Any:
        return AsyncDriver().fetchone()


SYNC = Backend(Driver())
ASYNC = Backend(AsyncDriver())


class Awaited:
    """Bodies that enter the translator of a synchronous connection, and await inside."""

    async def an_await(self) -> None:
        with SYNC.wrap_database_errors:
            await asyncio.sleep(0)

    async def what_is_returned(self) -> None:
        with SYNC.wrap_database_errors:
            return await asyncio.sleep(0)

    async def an_await_in_a_handler(self) -> None:
        with SYNC.wrap_database_errors:
            try:
                raise LookupError
            except LookupError:
                await asyncio.sleep(0)

    async def an_await_in_a_loop_with_a_branch(self) -> None:
        with contextlib.nullcontext(), SYNC.wrap_database_errors as nothing:
            for number in range(2):
                if number:
                    await asyncio.sleep(0, nothing)

    async def async_with(self) -> None:
        with SYNC.wrap_database_errors:
            async with AsyncDriver().copy("x") as copied:
                assert copied == "x"

    async def async_for(self) -> None:
        with SYNC.wrap_database_errors:
            assert [row async for row in AsyncDriver().stream("x")] == ["x"]

    async def an_async_generator(self) -> None:
        async def rows() -> AsyncIterator[Any]:
            with SYNC.wrap_database_errors:
                async for row in AsyncDriver().stream("x"):
                    yield row

        assert [row async for row in rows()] == ["x"]

    async def an_exit_stack(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(SYNC.wrap_database_errors)
            await asyncio.sleep(0)

    async def a_context_manager(self) -> None:
        @contextlib.contextmanager
        def translated() -> Iterator[None]:
            with SYNC.wrap_database_errors:
                yield

        with translated():
            await asyncio.sleep(0)

    async def an_async_context_manager(self) -> None:
        @contextlib.asynccontextmanager
        async def translated() -> AsyncIterator[None]:
            with SYNC.wrap_database_errors:
                yield

        async with translated():
            await asyncio.sleep(0)

    async def a_subclass_of_the_translator(self) -> None:
        class Counting(DatabaseErrorWrapper):
            def __enter__(self) -> None:
                super().__enter__()

        with Counting(SYNC):
            await asyncio.sleep(0)

    async def a_coroutine_function_that_is_wrapped(self) -> None:
        assert await SYNC.wrap_database_errors(AsyncDriver().fetchone)() == (42,)

    async def methods_called_by_name(self) -> None:
        translator = SYNC.wrap_database_errors
        translator.__enter__()
        await asyncio.sleep(0)
        translator.__exit__(None, None, None)


class Asynchronous:
    """Bodies that use an asynchronous driver's connection, without an await inside."""

    async def a_statement(self) -> None:
        with ASYNC.wrap_database_errors:
            pass

    async def a_wrapped_function(self) -> None:
        ASYNC.wrap_database_errors(ASYNC.connection.nextset)()

    async def a_synchronous_function(self) -> None:
        def make_cursor() -> AsyncDriver:
            with ASYNC.wrap_database_errors:
                return AsyncDriver()

        assert make_cursor()

    async def a_connection_whose_own_methods_are_coroutines(self) -> None:
        class AsyncBackend(Backend):
            async def commit(self) -> None:
                """Do nothing."""

        with AsyncBackend(None).wrap_database_errors:
            pass

    async def a_cursor_of_djangos_around_one(self) -> None:
        cursor = CursorWrapper(AsyncDriver(), SYNC)
        assert await cursor.fetchone() == (42,)
        async with cursor.copy("x") as copied:
            assert copied == "x"
        assert [row async for row in cursor.stream("x")] == ["x"]


class Blocking:
    """Bodies that call a synchronous driver inside the translator."""

    async def a_coroutine(self) -> None:
        with SYNC.wrap_database_errors:
            SYNC.connection.fetchone()

    async def a_coroutine_that_awaits_elsewhere(self) -> None:
        await asyncio.sleep(0)
        try:
            with SYNC.wrap_database_errors:
                SYNC.connection.fetchone()
        finally:
            await asyncio.sleep(0)

    async def a_synchronous_function(self) -> None:
        def fetch() -> Any:
            with SYNC.wrap_database_errors:
                return SYNC.connection.fetchone()

        fetch()

    async def a_generator(self) -> None:
        def rows() -> Iterator[Any]:
            with SYNC.wrap_database_errors:
                yield from [SYNC.connection.fetchone()]

        assert list(rows()) == [(42,)]

    async def a_wrapped_function(self) -> None:
        SYNC.wrap_database_errors(SYNC.connection.fetchone)()

    async def an_enter_method(self) -> None:
        class Beginning:
            def __enter__(self) -> None:
                with SYNC.wrap_database_errors:
                    SYNC.connection.fetchone()

            def __exit__(self, *_: object) -> None:
                """Do nothing."""

        with Beginning():
            await asyncio.sleep(0)


def each(*bodies: type) -> Any:
    found = [(each, name) for each in bodies for name in vars(each) if not name.startswith("_")]
    return pytest.mark.parametrize("body", [pytest.param(getattr(cls(), name), id=name) for cls, name in found])


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_forced_mode", "raise")


@each(Awaited, Asynchronous)
def test_an_asynchronous_driver_is_no_blocking_call(body: Callable[[], Any]) -> None:
    with record_blocking() as calls:
        asyncio.run(body())

    assert [str(call) for call in calls] == []


@each(Blocking)
def test_a_synchronous_one_is(body: Callable[[], Any], blocking_calls: list[Any]) -> None:
    with pytest.raises(BlockingCallError) as raised:
        asyncio.run(body())

    assert [call.filename for call in blocking_calls] == [__file__]
    assert raised.value.call in blocking_calls
    blocking_calls.clear()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
async def test_django_async_backend_runs_as_without_a_guard() -> None:
    backend = pytest.importorskip("django_async_backend.db.backends.postgresql.async_base")
    wrapper = backend.AsyncDatabaseWrapper(connection.settings_dict | {"OPTIONS": {}}, "default")
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    turning = asyncio.create_task(turn())
    with record_blocking() as calls:
        await wrapper.set_autocommit(False)
        async with await wrapper.cursor() as cursor:
            await cursor.execute("SELECT 42 FROM pg_sleep(0.05)")
            assert await cursor.fetchone() == (42,)
            await cursor.execute("SELECT generate_series(1, 3)")
            assert [number async for (number,) in cursor] == [1, 2, 3]
        await wrapper.rollback()
        await wrapper.close()
    turning.cancel()

    assert [str(call) for call in calls] == []
    assert turns > 1
