"""A program: row-level security by a middleware that says whose rows a request may see, and many requests at once.

``python -m tests.scenarios.packages.row_security``, with ``sync``, ``async`` or ``configure`` as ``TRACED_WAY``. Prints
how many answers there were of each kind.
"""

import asyncio
import contextlib
import json
import os
from collections import Counter
from contextvars import ContextVar

import psycopg

from tests.scenarios.packages import traced

TENANTS, WAY = ("alpha", "beta", "gamma"), os.environ.get("TRACED_WAY", "sync")
ROLE, PASSWORD = f"app_{os.getpid()}", "of a test"
DATABASE = json.loads(os.environ["TRACED_DATABASE"])
MIDDLEWARE = {"sync": "sync", "async": "asynchronous", "configure": "by_configure"}[WAY]
DAF_ORM = {"MAX_SIZE": 10, "TIMEOUT": 120.0, "POOL_MODE": os.environ.get("TRACED_MODE", "auto")}
traced.configure(
    [f"{__name__}.{MIDDLEWARE}"],
    DAF_ORM=DAF_ORM | ({"CONFIGURE": f"{__name__}.settings_now"} if WAY == "configure" else {}),
    DATABASES={"default": DATABASE | {"USER": ROLE, "PASSWORD": PASSWORD}},
    DEBUG_PROPAGATE_EXCEPTIONS=True,
    ROOT_URLCONF=__name__,
)

# ruff: noqa: E402 - models can be imported now
from asgiref.sync import sync_to_async
from django.db import connection
from django.http import JsonResponse
from django.urls import path
from django.utils.decorators import async_only_middleware

from daf_orm import get_pool, transaction
from tests.scenarios.packages.rows.models import Row
from tests.support.exchange import exchange

tenant, pins = ContextVar("tenant", default=""), {0}


def settings_now():
    return {"app.tenant": tenant.get()}


def set_tenant(name):
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant', %s, false)", [name])


def sync(get_response):
    def middleware(request):
        set_tenant(request.headers["X-Tenant"])
        return get_response(request)

    return middleware


@async_only_middleware
def asynchronous(get_response):
    async def middleware(request):
        await sync_to_async(set_tenant)(request.headers["X-Tenant"])
        return await get_response(request)

    return middleware


@async_only_middleware
def by_configure(get_response):
    async def middleware(request):
        tenant.set(request.headers["X-Tenant"])
        return await get_response(request)

    return middleware


async def view(request):
    owners = [row.owner async for row in Row.objects.all()]
    count, first = await asyncio.gather(Row.objects.acount(), Row.objects.afirst())
    async with transaction.atomic():
        await Row.objects.filter(pk=first.pk).aupdate(owner=owners[0])
        rows = await Row.objects.acount()
    pins.add(get_pool().get_stats()["connections_pinned"])
    return JsonResponse([*owners, first.owner, count, rows], safe=False)


def sync_view(request):
    owners = [row.owner for row in Row.objects.all()]
    count, first = Row.objects.count(), Row.objects.first()
    pins.add(get_pool().get_stats()["connections_pinned"])
    return JsonResponse([*owners, first.owner, count, Row.objects.count()], safe=False)


urlpatterns = [path("async", view), path("sync", sync_view)]


async def ask(application, number):
    name, target = TENANTS[number % len(TENANTS)], ("/async", "/sync")[number % 2]
    answer = await exchange(application, path=target, headers=[("X-Tenant", name)])
    if answer.status != 200:
        return f"status {answer.status}"
    return "right" if json.loads(answer.body) == [name] * 4 + [3, 3] else "of another tenant"


async def main():
    application = traced.application()
    answers = await asyncio.gather(*(ask(application, number) for number in range(traced.REQUESTS)))
    print(json.dumps({"pinned": max(pins), "answers": Counter(answers)}))


@contextlib.contextmanager
def role():
    """Log in as one that row-level security is for, and owns the table."""
    options = {"host": DATABASE["HOST"], "port": DATABASE["PORT"] or None, "user": DATABASE["USER"] or None}
    login = {**options, "dbname": DATABASE["NAME"], "password": DATABASE["PASSWORD"] or None}
    with psycopg.connect(**login, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {ROLE} LOGIN NOBYPASSRLS PASSWORD '{PASSWORD}'")
        admin.execute(f"GRANT ALL ON SCHEMA public TO {ROLE}")
        try:
            yield
        finally:
            admin.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")


def prepare():
    traced.make_tables()
    Row.objects.bulk_create(Row(owner=name) for name in TENANTS for _ in range(3))
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE rows_row ENABLE ROW LEVEL SECURITY")
        cursor.execute("ALTER TABLE rows_row FORCE ROW LEVEL SECURITY")
        cursor.execute("CREATE POLICY own ON rows_row USING (owner = current_setting('app.tenant', true))")
    assert not Row.objects.exists()
    connection.close()


if __name__ == "__main__":
    with role():
        prepare()
        asyncio.run(main())
        connection.close()
