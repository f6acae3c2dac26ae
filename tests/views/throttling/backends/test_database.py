import asyncio

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.transaction import TransactionManagementError
from django.test import AsyncRequestFactory, override_settings
from psycopg import IsolationLevel

from daf_orm import database_sync_to_async, transaction
from daf_orm._pool.process_pool import reset_pool
from daf_views._core import shared_state
from daf_views.asgi import current_drain
from daf_views.throttling import AsyncRateThrottle, Rate
from daf_views.throttling.algorithms.gcra import GCRA
from daf_views.throttling.backends.database import DatabaseBackend
from daf_views.throttling.models import ThrottleState
from daf_views.throttling.operations import Enter, Leave, Take

ONE = Take([GCRA(Rate.parse("1/minute"))])
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


async def test_rows_that_have_expired_are_deleted_and_no_others(clock):
    backend = DatabaseBackend(clock=clock)
    for key in ("old", "older"):
        await backend.run(key, ONE, timeout=5)
    clock.advance(30)
    await backend.run("new", ONE, timeout=5)
    clock.advance(31)
    await database_sync_to_async(backend.sweep)()
    assert [state.key async for state in ThrottleState.objects.all()] == ["new"]


async def test_they_are_deleted_by_the_way(clock, monkeypatch):
    monkeypatch.setattr(shared_state, "SWEEP_EVERY", 10)
    backend = DatabaseBackend(clock=clock)
    await backend.run("old", ONE, timeout=5)
    clock.advance(61)
    for _ in range(10):
        await backend.run("refused all the time", ONE, timeout=5)
    await current_drain().settle(10)
    assert [state.key async for state in ThrottleState.objects.all()] == ["refused all the time"]


async def test_that_they_cannot_be_deleted_is_no_request_s_business(clock, monkeypatch, caplog):
    def fail(self):
        raise OperationalError("locked")

    monkeypatch.setattr(shared_state, "SWEEP_EVERY", 1)
    monkeypatch.setattr(DatabaseBackend, "sweep", fail)
    assert (await DatabaseBackend(clock=clock).run("key", ONE, timeout=5)).allowed
    await current_drain().settle(10)
    assert "Expired throttle states were not deleted" in caplog.text


async def test_inside_a_transaction_nothing_is_counted(clock):
    throttle = AsyncRateThrottle("1/minute", backend=DatabaseBackend(clock=clock), fail_open=True)
    request = AsyncRequestFactory().get("/")
    with pytest.raises(TransactionManagementError, match="Put it on the view"):
        async with transaction.atomic():
            await throttle.check(request)
    async with transaction.atomic(using="other"):
        await throttle.check(request)


@pytest.mark.postgresql
@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
async def test_the_second_writer_in_a_strict_transaction_reads_again(clock, monkeypatch, level):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", level)
    reset_pool()
    backend, ten = DatabaseBackend(clock=clock), Take([GCRA(Rate.parse("10/minute"))])
    for key in "abc":
        hits = await asyncio.gather(*(backend.run(key, ten, timeout=30) for _ in range(40)))
        assert sum(hit.allowed for hit in hits) == 10
    reset_pool()


async def test_a_row_that_was_made_anew_is_not_taken_for_the_one_that_was_read(clock, monkeypatch):
    backend = DatabaseBackend(clock=clock)
    await backend.run("key", ONE, timeout=5)
    clock.advance(61)
    write, interfered = DatabaseBackend._write, []

    def meanwhile(self, key, version, change):
        if not interfered:
            interfered.append(key)
            self.sweep()
            self._change("key", ONE)  # another request
        return write(self, key, version, change)

    monkeypatch.setattr(DatabaseBackend, "_write", meanwhile)
    assert not (await backend.run("key", ONE, timeout=5)).allowed


async def test_the_last_to_leave_leaves_a_row_that_is_swept(clock):
    backend = DatabaseBackend(clock=clock)
    await backend.run("key", Enter(1, 1, 60_000_000), timeout=5)
    await backend.run("key", Leave(1), timeout=5)
    await backend.run("nobody", Leave(1), timeout=5)
    await database_sync_to_async(backend.sweep)()
    assert await ThrottleState.objects.acount() == 0


async def test_another_database_can_be_chosen(clock):
    await DatabaseBackend("other", clock=clock).run("key", ONE, timeout=5)
    assert await ThrottleState.objects.using("other").acount() == 1
    assert await ThrottleState.objects.acount() == 0


def test_a_database_that_is_not_there_is_named():
    with pytest.raises(ImproperlyConfigured, match="there is no database 'nowhere'"):
        DatabaseBackend("nowhere")


def test_without_the_app_there_is_no_table():
    with (
        override_settings(INSTALLED_APPS=["daf_orm", "daf_views"]),
        pytest.raises(ImproperlyConfigured, match=r'needs "daf_views.throttling" in INSTALLED_APPS'),
    ):
        DatabaseBackend()


def test_the_migrations_make_what_the_models_say():
    call_command("makemigrations", "daf_throttling", check=True, dry_run=True, verbosity=0)
