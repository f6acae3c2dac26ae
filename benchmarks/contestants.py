"""The contestants, each in the conditions its users run it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

POOL_SIZE = 10
"""The limit of connections of every contestant with a pool: DAF's default."""

_POSTGRESQL = "django.db.backends.postgresql"
_SQLITE = "django.db.backends.sqlite3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to run the same queries."""

    name: str
    conditions: str
    """The settings of its users, in a sentence that stands before the numbers."""
    queries: str
    """The class of :mod:`benchmarks.queries` that spells the queries its way."""
    engines: Mapping[str, str]
    """``ENGINE`` by database vendor; a vendor that is missing is one it cannot use."""
    apps: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    """Modules that must be installed."""

    @property
    def missing(self) -> list[str]:
        """The required modules that are not installed."""
        return [module for module in self.requires if find_spec(module) is None]

    def settings(self, database: Mapping[str, Any]) -> dict[str, Any]:
        """Return Django settings for a worker on ``database``: ``vendor``, and what ``DATABASES`` holds."""
        given = {key: value for key, value in database.items() if key not in {"vendor", "OPTIONS"}}
        options = {**self.options, **database.get("OPTIONS", {})}
        return {
            "DATABASES": {"default": {"ENGINE": self.engines[database["vendor"]], "OPTIONS": options, **given}},
            "INSTALLED_APPS": [*self.apps, "benchmarks.library"],
            "ROOT_URLCONF": "benchmarks.library.urls",
            "ALLOWED_HOSTS": ["testserver"],
            "MIDDLEWARE": [],
            "USE_TZ": True,
        }


_POOL = {"pool": {"min_size": 4, "max_size": POOL_SIZE}}

DAF = Contestant(
    name="DAF",
    conditions=f"`daf_orm` installed, `AsyncManager`, defaults: at most {POOL_SIZE} leases.",
    queries="DafQueries",
    engines={"postgresql": _POSTGRESQL, "sqlite": _SQLITE},
    apps=("daf_orm",),
)
STOCK = Contestant(
    name="stock",
    conditions="Django alone, `CONN_MAX_AGE = 0` as Django advises under ASGI: a connection per request.",
    queries="StockQueries",
    engines={"postgresql": _POSTGRESQL, "sqlite": _SQLITE},
)
STOCK_POOL = Contestant(
    name="stock + pool",
    conditions=f'Django alone, `OPTIONS["pool"]` with 4 to {POOL_SIZE} connections.',
    queries="StockQueries",
    engines={"postgresql": _POSTGRESQL},
    options=_POOL,
    requires=("psycopg_pool",),
)
ASYNC_BACKEND = Contestant(
    name="async-backend",
    conditions=("`django-async-backend`: its engine, `async_objects`, `async_new_connection()` for parallel ones."),
    queries="AsyncBackendQueries",
    engines={"postgresql": "django_async_backend.db.backends.postgresql"},
    apps=("django_async_backend",),
    requires=("django_async_backend",),
)
ASYNC_BACKEND_POOL = Contestant(
    name="async-backend + pool",
    conditions=f'The same with `OPTIONS["pool"]`, 4 to {POOL_SIZE} connections.',
    queries="AsyncBackendQueries",
    engines=ASYNC_BACKEND.engines,
    apps=ASYNC_BACKEND.apps,
    options=_POOL,
    requires=("django_async_backend", "psycopg_pool"),
)

CONTESTANTS = {each.name: each for each in (DAF, STOCK, STOCK_POOL, ASYNC_BACKEND, ASYNC_BACKEND_POOL)}


def print_conditions(contestants: tuple[Contestant, ...]) -> None:
    """State the conditions of each, before any number."""
    for contestant in contestants:
        print(f"- **{contestant.name}**: {contestant.conditions}")
    print()
