"""A program: two tenants behind django-tenants' own middleware and backend, asked by many requests at once.

``python -m tests.scenarios.packages.tenants HANDLER``, with ``DAF_ORM`` and the database's settings in the environment.
It prints how many answers there were of each kind.
"""

import asyncio
import json
import os
import sys
from collections import Counter

import django
from django.conf import settings

DATABASE = json.loads(os.environ["TENANTS_DATABASE"])
TENANTS, REQUESTS = ("alpha", "beta"), int(os.environ.get("DAF_PACKAGES", "100"))
SHARED = ["django_tenants", "tests.scenarios.packages.customers", "django.contrib.contenttypes"]
OWN = ["tests.scenarios.packages.rows"]
settings.configure(
    ALLOWED_HOSTS=["*"],
    DAF_ORM=json.loads(os.environ["TENANTS_DAF_ORM"]),
    DATABASES={"default": DATABASE | {"ENGINE": "django_tenants.postgresql_backend"}},
    DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["daf_orm", *SHARED, *OWN],
    MIDDLEWARE=["django_tenants.middleware.main.TenantMainMiddleware"],
    ORIGINAL_BACKEND=DATABASE["ENGINE"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a test",
    SHARED_APPS=SHARED,
    TENANT_APPS=OWN,
    TENANT_MODEL="customers.Customer",
    TENANT_DOMAIN_MODEL="customers.Domain",
    USE_TZ=True,
)
django.setup()

# ruff: noqa: E402 - models can be imported now
from django.core import asgi
from django.core.management import call_command
from django.db import connection
from django.http import JsonResponse
from django.urls import path
from django_tenants.utils import schema_context, tenant_context

import daf_views.asgi
from daf_orm import database_sync_to_async, get_pool
from tests.scenarios.packages.customers.models import Customer, Domain
from tests.scenarios.packages.rows.models import Row


async def view(request):
    owners = [row.owner async for row in Row.objects.all()]
    count, first = await asyncio.gather(Row.objects.acount(), Row.objects.afirst())
    return JsonResponse([*owners, first.owner, count], safe=False)


def sync_view(request):
    return JsonResponse([*[row.owner for row in Row.objects.all()], Row.objects.first().owner, 3], safe=False)


urlpatterns = [path("async", view), path("sync", sync_view)]


def prepare():
    call_command("migrate_schemas", "--shared", verbosity=0)
    for name in TENANTS:
        customer = Customer(schema_name=name, name=name)
        customer.save(verbosity=0)
        Domain.objects.create(domain=f"{name}.example", tenant=customer, is_primary=True)
        with tenant_context(customer):
            Row.objects.bulk_create(Row(owner=name) for _ in range(3))
    connection.set_schema_to_public()
    connection.close()


async def ask(application, tenant, target):
    sent = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "headers": [(b"host", f"{tenant}.example".encode())],
    }
    received = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive():
        return next(received, None) or await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    await application(scope, receive, send)
    if sent[0]["status"] != 200:
        return f"status {sent[0]['status']}"
    answer = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
    return "right" if answer == [tenant] * 4 + [3] else "of another tenant"


def rows_of(tenant):
    with schema_context(tenant):
        return {row.owner for row in Row.objects.all()}


async def in_context(tenant):
    return "right" if await database_sync_to_async(rows_of)(tenant) == {tenant} else "of another tenant"


async def main(handler):
    assert getattr(connection, "runs_on_event_loop", False) == (DATABASE["ENGINE"] == "daf_orm.backends.postgresql")
    application = (daf_views.asgi if handler == "daf" else asgi).get_asgi_application()
    targets = ("/async", "/sync", "/async")
    answers = await asyncio.gather(
        *(ask(application, TENANTS[number % 2], targets[number % 3]) for number in range(REQUESTS)),
        *(in_context(TENANTS[number % 2]) for number in range(REQUESTS)),
    )
    async with asyncio.timeout(30):
        while get_pool().get_stats()["connections_pinned"]:  # a task's connection is cleaned after it has ended
            await asyncio.sleep(0.01)
    print(json.dumps(Counter(answers)))


if __name__ == "__main__":
    prepare()
    asyncio.run(main(sys.argv[1]))
