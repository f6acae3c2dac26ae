"""Peculiarities of each store: the table that is swept, the lock that is skipped, the cache that is refused."""

import asyncio

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import override_settings
from psycopg import IsolationLevel

from daf_orm import database_sync_to_async, transaction
from daf_orm._pool.process_pool import reset_pool
from daf_views._core import shared_state
from daf_views.asgi import current_drain
from daf_views.idempotency.models import IdempotencyRecord
from daf_views.idempotency.stored_response import StoredResponse
from daf_views.idempotency.stores import get_store
from daf_views.idempotency.stores.base import Claim
from daf_views.idempotency.stores.cache import CacheStore
from daf_views.idempotency.stores.database import DatabaseStore

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
ANSWER = StoredResponse(status=201, headers=(("Location", "/7"),), body=b"made")


def claim_of(key, *, lease=10, ttl=60):
    return Claim(key=key, fingerprint="x", lease=lease, ttl=ttl)


async def keys():
    return sorted([record.key async for record in IdempotencyRecord.objects.all()])


async def test_of_many_at_the_same_time_one_has_the_key(store):
    found = await asyncio.gather(*(store.claim(claim_of("key")) for _ in range(30)))
    assert sum(each is None for each in found) == 1
    assert all(each is None or each.answer is None for each in found)


async def test_of_many_one_takes_over_what_a_killed_process_had(clock):
    store = DatabaseStore(clock=clock)
    assert await store.claim(claim_of("key")) is None
    clock.advance(11)
    found = await asyncio.gather(*(store.claim(claim_of("key")) for _ in range(30)))
    assert sum(each is None for each in found) == 1


async def test_an_answer_ends_with_its_life_and_a_claim_with_its_lease(clock):
    store = DatabaseStore(clock=clock)
    first = claim_of("key")
    await store.claim(first)
    clock.advance(9)
    assert (await store.claim(claim_of("key"))).answer is None
    await store.finish(first, ANSWER)
    clock.advance(59)
    assert (await store.claim(claim_of("key"))).answer == ANSWER
    clock.advance(1)
    assert await store.claim(claim_of("key")) is None
    assert (await store.claim(claim_of("key"))).answer is None


async def test_rows_that_have_expired_are_deleted_and_no_others(clock):
    store = DatabaseStore(clock=clock)
    answered = claim_of("answered")
    for claim in (claim_of("old"), answered):
        await store.claim(claim)
    await store.finish(answered, ANSWER)
    clock.advance(11)
    await store.claim(claim_of("new"))
    await database_sync_to_async(store.sweep)()
    assert await keys() == ["answered", "new"]


async def test_they_are_deleted_by_the_way_in_batches(clock, monkeypatch):
    monkeypatch.setattr(shared_state, "SWEEP_EVERY", 5)
    store = DatabaseStore(clock=clock)
    for number in range(7):
        await store.claim(claim_of(f"old {number}"))
    await current_drain().settle(10)
    clock.advance(11)
    await database_sync_to_async(store.sweep)()
    assert len(await keys()) == 2
    for number in range(5):
        await store.claim(claim_of(f"new {number}"))
    await current_drain().settle(10)
    assert await keys() == [f"new {number}" for number in range(5)]


async def test_that_they_cannot_be_deleted_is_no_request_s_business(monkeypatch, caplog):
    def fail(self):
        raise OperationalError("locked")

    monkeypatch.setattr(shared_state, "SWEEP_EVERY", 1)
    monkeypatch.setattr(DatabaseStore, "sweep", fail)
    assert await DatabaseStore().claim(claim_of("key")) is None
    await current_drain().settle(10)
    assert "Expired answers were not deleted" in caplog.text


@pytest.mark.postgresql
async def test_a_key_held_in_a_transaction_is_kept_and_blocks_no_other_request(clock):
    store, held = DatabaseStore(clock=clock), claim_of("key")
    await store.claim(held)

    async def others():
        clock.advance(1000)
        assert (await store.claim(claim_of("key"))).answer is None  # though the lease has ended
        await database_sync_to_async(store.sweep)()

    holding, done = asyncio.Event(), asyncio.Event()

    async def hold():
        async with transaction.atomic():
            assert await store.hold(held)
            holding.set()
            await done.wait()
            assert await store.finish(held, ANSWER)

    task = asyncio.create_task(hold())
    await holding.wait()
    await asyncio.wait_for(others(), 10)
    done.set()
    await task
    assert (await store.claim(claim_of("key"))).answer == ANSWER


async def test_an_answer_that_is_rolled_back_was_never_there(clock):
    store, claim = DatabaseStore(clock=clock), claim_of("key")
    await store.claim(claim)
    with pytest.raises(LookupError):
        async with transaction.atomic():
            await store.hold(claim)
            await store.finish(claim, ANSWER)
            raise LookupError
    assert (await store.claim(claim_of("key"))).answer is None


@pytest.mark.postgresql
@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
async def test_in_strict_transactions_one_has_the_key_too(clock, monkeypatch, level):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "isolation_level", level)
    reset_pool()
    store = DatabaseStore(clock=clock)
    for _ in range(3):
        found = await asyncio.gather(*(store.claim(claim_of("key")) for _ in range(20)))
        assert sum(each is None for each in found) == 1
        clock.advance(11)
    reset_pool()


async def test_another_database_can_be_chosen():
    store = DatabaseStore("other")
    await store.claim(claim_of("key"))
    assert await IdempotencyRecord.objects.using("other").acount() == 1
    assert store.joins(["default", "other"])
    assert not store.joins(["default"])


async def test_a_cached_entry_is_gone_after_its_lease(make_store):
    """An expiry of the cache itself: its clock cannot be put forward."""
    store = make_store("cache")
    claim = claim_of("key", lease=1)
    await store.claim(claim)
    async with asyncio.timeout(20):
        while await store.claim(claim_of("key")) is not None:
            await asyncio.sleep(0.05)  # another process's clock
    assert not await store.finish(claim, ANSWER)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"IDEMPOTENCY_STORE": "memory"}, "must be 'cache' or 'database', not 'memory'"),
        ({"IDEMPOTENCY_LOCATION": "nowhere"}, "there is no database 'nowhere'"),
        ({"IDEMPOTENCY_STORE": "cache", "IDEMPOTENCY_LOCATION": "nowhere"}, "there is no cache 'nowhere'"),
        ({"IDEMPOTENCY_STORE": "cache"}, "locmem.LocMemCache.*is local to each process"),
        ({"IDEMPOTENCY_STORE": "cache", "IDEMPOTENCY_LOCATION": "database"}, "no atomic operations"),
    ],
)
def test_a_store_that_could_not_keep_a_key_is_refused(settings, given, reason):
    settings.DAF_VIEWS = given
    with pytest.raises(ImproperlyConfigured, match=reason):
        get_store()


def test_a_cache_of_the_process_will_do_while_debugging(settings):
    settings.DEBUG = True
    settings.DAF_VIEWS = {"IDEMPOTENCY_STORE": "cache"}
    assert isinstance(get_store(), CacheStore)
    settings.DEBUG = False
    with pytest.raises(ImproperlyConfigured):
        get_store()


def test_without_the_app_there_is_no_table():
    with (
        override_settings(INSTALLED_APPS=["daf_orm", "daf_views"]),
        pytest.raises(ImproperlyConfigured, match=r'needs "daf_views.idempotency" in INSTALLED_APPS'),
    ):
        get_store()


def test_the_migrations_make_what_the_models_say():
    call_command("makemigrations", "daf_idempotency", check=True, dry_run=True, verbosity=0)
