"""The contenders, each as its documentation has it. Every environment imports this: only the standard library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

POOL_SIZE = 10
"""The connections of every contender that has a pool, and the threads of the one that has those instead."""

Kind = Literal["loop", "asgi", "wsgi", "bolt"]
_POOL = {"pool": {"min_size": 4, "max_size": POOL_SIZE, "timeout": 120}}
_POSTGRESQL = "django.db.backends.postgresql"
_SQLITE = "django.db.backends.sqlite3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to do the work."""

    name: str
    environment: str
    """Its lock is ``requirements/race/<environment>.txt``."""
    conditions: str
    """Its settings, in a sentence."""
    application: str
    """``module:function`` that returns the application. Without URLs it is given the contender and the database."""
    kind: Kind = "asgi"
    urls: str = ""
    """The URLconf; an empty string where there is no Django."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """Django's ``ENGINE``, or SQLAlchemy's dialect and driver, by the database's vendor."""
    options: Mapping[str, Any] = field(default_factory=dict)
    apps: tuple[str, ...] = ()
    spelling: str = "stock"
    """Of :mod:`benchmarks.catalog.work`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    takes_no_part: Mapping[str, str] = field(default_factory=dict)
    """Reasons by work."""

    @property
    def streams(self) -> bool:
        """True if it brings a stream: the others have that of Django."""
        return self.kind in {"asgi", "bolt"} and self.environment not in _WITHOUT_STREAM

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers that it runs on."""
        return {"loop": (), "asgi": ("uvicorn", "granian"), "wsgi": ("gunicorn",), "bolt": ("runbolt",)}[self.kind]

    def reason_against(self, work: str, vendor: str) -> str:
        """Return why it takes no part in a piece of work on a database; an empty string if it does."""
        if vendor not in self.engines:
            return f"has no driver for {vendor} here"
        return self.takes_no_part.get(work, "")


_WITHOUT_STREAM = frozenset({"adrf", "django-ninja", "django-modern-rest", "django-async-backend"})
"""Their streams are Django's StreamingHttpResponse on Django's handler."""
_NO_REQUEST = "is no application: it answers no request"
_FLOOR = dict.fromkeys(("hello", "hello_middleware", "session", "typed", "order", "slow"), _NO_REQUEST)
_UNTYPED = dict.fromkeys(("typed", "order"), "has no typed layer")
_NO_DJANGO = {
    "hello_middleware": "has not Django's middleware",
    "session": "has no sessions in the database, and no users",
}


def _django(name: str, conditions: str, **given: Any) -> Contender:
    stock = {
        "environment": "django",
        "application": "django.core.asgi:get_asgi_application",
        "urls": "benchmarks.race.apps.stock_urls",
        "engines": {"postgresql": _POSTGRESQL, "sqlite": _SQLITE},
    }
    return Contender(name=name, conditions=conditions, **(stock | given))


def _daf(name: str, conditions: str, **given: Any) -> Contender:
    ours = {
        "environment": "daf",
        "application": "daf_views.asgi:get_asgi_application",
        "urls": "benchmarks.race.apps.daf_urls",
        "apps": ("daf_orm", "daf_views"),
        "spelling": "daf",
    }
    return _django(name, conditions, **(ours | given))


def _sqlalchemy(name: str, driver: str, application: str, environment: str) -> Contender:
    return Contender(
        name=name,
        environment=environment,
        conditions=f"SQLAlchemy's ORM on {driver}, a pool of {POOL_SIZE} connections, a session per request.",
        application=application,
        engines={"postgresql": f"postgresql+{driver}"},
        takes_no_part=_NO_DJANGO,
    )


_NATIVE = {"postgresql": "daf_orm.backends.postgresql"}
_FASTAPI = ("benchmarks.race.apps.fastapi_app:application", "fastapi")
_CONTENDERS = (
    _django(
        "sync ORM",
        "The floor: Django's synchronous ORM in a tight loop, one call after the other on one connection.",
        kind="loop",
        application="benchmarks.race.apps.floor:orm",
        takes_no_part=_FLOOR,
    ),
    Contender(
        name="raw psycopg",
        environment="psycopg",
        conditions="SQL by hand on psycopg, in a tight loop on one connection.",
        application="benchmarks.race.apps.floor:raw",
        kind="loop",
        engines={"postgresql": "psycopg"},
        takes_no_part=_FLOOR,
    ),
    _django(
        "Django ASGI",
        "`CONN_MAX_AGE = 0`, as Django advises under ASGI: each request opens a connection.",
        takes_no_part=_UNTYPED,
    ),
    _django(
        "Django ASGI + pool",
        f'`OPTIONS["pool"]` with 4 to {POOL_SIZE} connections.',
        engines={"postgresql": _POSTGRESQL},
        options=_POOL,
        takes_no_part=_UNTYPED,
    ),
    _django(
        "Django WSGI",
        f"Synchronous views, gunicorn with {POOL_SIZE} threads, `CONN_MAX_AGE = 60`: a connection per thread.",
        application="django.core.wsgi:get_wsgi_application",
        kind="wsgi",
        urls="benchmarks.race.apps.sync_urls",
        takes_no_part=_UNTYPED,
    ),
    _django(
        "django-async-backend",
        f'Its engine and `async_objects`, `OPTIONS["pool"]` with 4 to {POOL_SIZE} connections, '
        "`async_new_connection()` for what is gathered.",
        environment="django-async-backend",
        engines={"postgresql": "django_async_backend.db.backends.postgresql"},
        options=_POOL,
        apps=("django_async_backend",),
        spelling="async_backend",
        takes_no_part=_UNTYPED,
    ),
    _django(
        "adrf",
        "Its asynchronous views without authentication, on Django's handler with a pool as above.",
        environment="adrf",
        urls="benchmarks.race.apps.adrf_urls",
        options=_POOL,
        apps=("rest_framework", "adrf"),
    ),
    _django(
        "django-ninja",
        "On Django's handler with a pool as above.",
        environment="django-ninja",
        urls="benchmarks.race.apps.ninja_urls",
        options=_POOL,
    ),
    _django(
        "django-modern-rest",
        "Its msgspec serializer, on Django's handler with a pool as above.",
        environment="django-modern-rest",
        urls="benchmarks.race.apps.dmr_urls",
        options=_POOL,
    ),
    _django(
        "django-bolt",
        "On its server with one process and its default of workers, with a pool as above.",
        environment="django-bolt",
        application="",
        kind="bolt",
        options=_POOL,
        apps=("django_bolt",),
        settings={"BOLT_API": ["benchmarks.race.apps.bolt_api:api"]},
    ),
    _sqlalchemy("FastAPI + asyncpg", "asyncpg", *_FASTAPI),
    _sqlalchemy("FastAPI + psycopg", "psycopg", *_FASTAPI),
    _sqlalchemy("Litestar", "asyncpg", "benchmarks.race.apps.litestar_app:application", "litestar"),
    _daf("DAF on threads", f"Default settings: {POOL_SIZE} connections."),
    _daf("DAF native", f"`daf_orm.backends.postgresql`, default settings: {POOL_SIZE} connections.", engines=_NATIVE),
    _daf(
        "DAF native, plans kept",
        "The same with `KEEP_PLANS`.",
        engines=_NATIVE,
        settings={"DAF_ORM": {"KEEP_PLANS": {}}},
    ),
)
CONTENDERS = {contender.name: contender for contender in _CONTENDERS}
FLOOR = "sync ORM"
REFERENCES = ("DAF native", "DAF on threads")
"""The others are compared with the first of these that takes part."""
