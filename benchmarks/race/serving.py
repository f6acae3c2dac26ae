"""The application of a contender, in whatever process serves it.

``build`` is what servers call; it reads from the environment what to build, as ``{"contender", "database",
"middleware"}`` in JSON in ``RACE``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from benchmarks.race.contenders import CONTENDERS, Contender

DEFAULT_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
"""As ``startproject`` writes them."""


def build() -> Any:
    """Return the application that the environment names."""
    return application(**json.loads(os.environ["RACE"]))


def application(contender: str, database: Mapping[str, str], *, middleware: bool) -> Any:
    """Return the application of a contender, Django set up if it has one."""
    chosen = CONTENDERS[contender]
    given = {key: value for key, value in database.items() if key != "vendor"}
    if not chosen.urls:
        return _named(chosen.application)(chosen, given)
    set_up(chosen, database, middleware=middleware)
    return _named(chosen.application)()


def set_up(contender: Contender, database: Mapping[str, str], *, middleware: bool) -> None:
    """Configure Django for a contender."""
    import django  # noqa: PLC0415 - not every environment has it
    from django.conf import settings  # noqa: PLC0415

    settings.configure(**settings_of(contender, database, middleware=middleware))
    django.setup()


def settings_of(contender: Contender, database: Mapping[str, str], *, middleware: bool) -> dict[str, Any]:
    """Return Django's settings for a contender."""
    vendor = database["vendor"]
    given = {key: value for key, value in database.items() if key != "vendor"}
    options = dict(contender.options) if vendor == "postgresql" else {}
    age = 60 if contender.kind == "wsgi" else 0
    contrib = [f"django.contrib.{app}" for app in ("auth", "contenttypes", "sessions", "messages")]
    return {
        "ALLOWED_HOSTS": ["*"],
        "BENCHMARK_SPELLING": contender.spelling,
        "DATABASES": {
            "default": {"ENGINE": contender.engines[vendor], "OPTIONS": options, "CONN_MAX_AGE": age, **given}
        },
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "INSTALLED_APPS": [*contrib, *contender.apps, "benchmarks.catalog", "benchmarks.api_shop"],
        "MIDDLEWARE": _middleware(contender) if middleware else [],
        "ROOT_URLCONF": contender.urls,
        "SECRET_KEY": "not a secret, but long enough for those that check it",
        "USE_TZ": True,
        **contender.settings,
    }


def _middleware(contender: Contender) -> list[Any]:
    if contender.spelling != "daf":
        return DEFAULT_MIDDLEWARE
    thread_free = _named("daf_views.middleware:thread_free")
    return list(thread_free(DEFAULT_MIDDLEWARE))


def _named(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
