"""Every kind of state of a session, set anywhere in a request: its own later calls have it, the next request not."""

import json

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.db import connection
from django.db.backends.signals import connection_created
from django.http import JsonResponse
from django.urls import path
from django.utils.decorators import async_only_middleware

from daf_orm import cursor, database_sync_to_async, get_pool, transaction
from daf_orm._pool.process_pool import reset_pool
from daf_views.asgi import get_asgi_application
from tests.orm.leases.test_session import STATES, run_sql
from tests.project.library.models import Counter
from tests.support.exchange import exchange

plan = {"way": None, "change": None, "look": None}
"""The actions of the requests, and their places."""


def change_in(way):
    if plan["way"] == way:
        run_sql(plan["change"])


def sync_middleware(get_response):
    def middleware(request):
        change_in("sync middleware")
        return get_response(request)

    return middleware


@async_only_middleware
def async_middleware(get_response):
    async def middleware(request):
        await sync_to_async(change_in)("async middleware")
        return await get_response(request)

    return middleware


async def read_by_cursor():
    async with cursor() as cur:
        await cur.execute(plan["look"])
        return (await cur.fetchone())[0]


async def read_in_block():
    async with transaction.atomic():
        return await database_sync_to_async(run_sql)(plan["look"])


async def view(request):
    await database_sync_to_async(change_in)("hop")
    if plan["way"] == "cursor":
        async with cursor() as cur:
            await cur.execute(plan["change"])
    if plan["way"] == "block":
        async with transaction.atomic():
            await database_sync_to_async(run_sql)(plan["change"])
    seen = [
        await database_sync_to_async(run_sql)(plan["look"]),
        await sync_to_async(run_sql)(plan["look"]),
        await read_by_cursor(),
    ]
    if not any(
        name.endswith(".sync_middleware") for name in django_settings.MIDDLEWARE
    ):  # else its thread waits, with the connection
        seen.append(await sync_to_async(run_sql, thread_sensitive=False)(plan["look"]))
    if not any(word in plan["look"] for word in ("query_only", "tx_read_only")):  # a block writes what it begins with
        seen.append(await read_in_block())
    return JsonResponse(seen, safe=False)


def sync_view(request):
    change_in("sync view")
    return JsonResponse([run_sql(plan["look"]), run_sql(plan["look"])], safe=False)


urlpatterns = [path("async", view), path("sync", sync_view)]
KEPT = [state for state in STATES if "autocommit" not in state.id]  # a transaction left open, which is ended
NOT_IN_A_TRANSACTION = ("foreign_keys", "ATTACH")


async def ask(target, way=None):
    """Return what one request has seen."""
    plan["way"] = way
    answer = await exchange(get_asgi_application(), path=target)
    assert answer.status == 200
    return json.loads(answer.body)


@pytest.fixture
def site(settings):
    settings.ROOT_URLCONF = __name__
    settings.DEBUG_PROPAGATE_EXCEPTIONS = True
    settings.MIDDLEWARE = []


async def write_row():
    """Write one, which a temporary table hides. The id of the last INSERT goes with the connection."""
    await Counter.objects.acreate(name="a")
    await sync_to_async(reset_pool)()


def assert_kept(before, seen, after):
    assert len(set(seen)) == 1, seen
    assert (seen[0] or None) != (before[0] or None)
    assert {value or None for value in after} == {before[0] or None}  # a custom setting is '' after RESET ALL


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize("way", ["sync middleware", "async middleware", "hop", "cursor", "block", "sync view"])
@pytest.mark.parametrize(("change", "look"), KEPT)
async def test_a_setting_of_a_request_is_found_everywhere_in_it_and_nowhere_in_the_next(
    pool_with, settings, way, change, look
):
    if way == "block" and connection.vendor == "sqlite" and any(word in change for word in NOT_IN_A_TRANSACTION):
        pytest.skip("SQLite does nothing of it in a transaction")
    pool_with(MAX_SIZE=2)
    plan.update(change=change, look=look)
    if way.endswith("middleware"):
        settings.MIDDLEWARE = [f"{__name__}.{way.replace(' ', '_')}"]
    target = "/sync" if way == "sync view" else "/async"

    await write_row()

    before, seen, after = await ask(target), await ask(target, way), await ask(target)

    assert_kept(before, seen, after)
    assert get_pool().get_stats()["connections_pinned"] == 0


@pytest.mark.usefixtures("site", "many_connections")
@pytest.mark.parametrize("target", ["/async", "/sync"])
@pytest.mark.parametrize(("change", "look"), KEPT)
async def test_a_setting_of_a_receiver_of_connection_created_is_that_requests(pool_with, change, look, target):
    pool_with(MAX_SIZE=2)
    plan.update(change=change, look=look)
    await write_row()

    def receiver(**_):
        change_in("connection_created")

    connection_created.connect(receiver)
    try:
        before, seen, after = await ask(target), await ask(target, "connection_created"), await ask(target)
    finally:
        connection_created.disconnect(receiver)

    assert_kept(before, seen, after)
    assert get_pool().get_stats()["connections_pinned"] == 0
