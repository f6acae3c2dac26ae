"""A project whose requests tell themselves apart, for packages that trace: each runs SQL that no other does."""

import asyncio
import json
import os

import django
from django.conf import settings

REQUESTS, BROKEN_EVERY = 1000, 50


def configure(middleware=()):
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DAF_ORM={"MAX_SIZE": 10, "TIMEOUT": 120.0},
        DATABASES={"default": json.loads(os.environ["TRACED_DATABASE"])},
        INSTALLED_APPS=["daf_orm", "daf_views", "django.contrib.contenttypes", "tests.scenarios.packages.rows"],
        LOGGING={"version": 1, "loggers": {"django.request": {"level": "CRITICAL"}}},
        MIDDLEWARE=list(middleware),
        ROOT_URLCONF="tests.scenarios.packages.traced_urls",
        SECRET_KEY="of a test",
        USE_TZ=True,
    )
    django.setup()


def make_tables():
    from django.core.management import call_command  # noqa: PLC0415 - after configure()
    from django.db import connection  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    connection.close()


async def ask_all(application):
    """Send all requests at once; return how many connections were pinned at most."""
    from daf_orm import get_pool  # noqa: PLC0415 - after configure()
    from tests.support.exchange import exchange  # noqa: PLC0415

    pinned = []

    async def ask(number):
        kind = "broken" if number % BROKEN_EVERY == 0 else ("view", "sync")[number % 2]
        answer = await exchange(application, path=f"/{kind}/{number}", headers=[("X-Number", str(number))])
        pinned.append(get_pool().get_stats()["connections_pinned"])
        assert answer.status == (500 if kind == "broken" else 200), (kind, answer.status, answer.body)

    await asyncio.gather(*(ask(number) for number in range(1, REQUESTS + 1)))
    return max(pinned)
