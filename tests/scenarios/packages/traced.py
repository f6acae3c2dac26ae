"""A project whose requests tell themselves apart, for packages that trace: each runs SQL that no other does."""

import asyncio
import json
import os

import django
from django.conf import settings

REQUESTS = int(os.environ.get("DAF_PACKAGES", "200"))
BROKEN_EVERY = 50


def configure(middleware=(), apps=(), **others):
    values = {
        "ALLOWED_HOSTS": ["*"],
        "DAF_ORM": {"MAX_SIZE": 10, "TIMEOUT": 120.0, "POOL_MODE": os.environ.get("TRACED_MODE", "auto")},
        "DATABASES": {"default": json.loads(os.environ["TRACED_DATABASE"])},
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "INSTALLED_APPS": [
            "daf_orm",
            "daf_views",
            "django.contrib.contenttypes",
            "tests.scenarios.packages.rows",
            *apps,
        ],
        "LOGGING": {"version": 1, "loggers": {"django.request": {"level": "CRITICAL"}}},
        "MIDDLEWARE": list(middleware),
        "ROOT_URLCONF": "tests.scenarios.packages.traced_urls",
        "SECRET_KEY": "of a test",
        "USE_TZ": True,
    }
    settings.configure(**values | others)
    django.setup()


def make_tables():
    from django.core.management import call_command  # noqa: PLC0415 - after configure()
    from django.db import connection  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    connection.close()


def application():
    """Return the application of the handler under test: DAF's, or Django's."""
    from django.core import asgi  # noqa: PLC0415 - after configure()

    import daf_views.asgi  # noqa: PLC0415

    module = asgi if os.environ.get("TRACED_HANDLER") == "django" else daf_views.asgi
    return module.get_asgi_application()


async def ask_all(application):
    """Send all requests at once; return how many connections were pinned at most."""
    from tests.scenarios.packages import traced_urls  # noqa: PLC0415 - after configure()
    from tests.support.exchange import exchange  # noqa: PLC0415

    async def ask(number):
        kind = "broken" if number % BROKEN_EVERY == 0 else ("view", "sync")[number % 2]
        answer = await exchange(application, path=f"/{kind}/{number}", headers=[("X-Number", str(number))])
        assert answer.status == (500 if kind == "broken" else 200), (kind, answer.status, answer.body)

    await asyncio.gather(*(ask(number) for number in range(1, REQUESTS + 1)))
    return max(traced_urls.pins)
