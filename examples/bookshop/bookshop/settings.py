"""Settings of the bookshop: a stock Django project with DAF switched on.

Environment variables, all optional:

``DATABASE_URL``        any database of Django, for example ``postgresql://user:secret@localhost/bookshop``
``BOOKSHOP_VAR_DIR``    where the SQLite file lives when there is no ``DATABASE_URL``
``BOOKSHOP_MAX_SIZE``   connections DAF may open at the same time
``BOOKSHOP_TIMEOUT``    seconds a call waits for one of them
``BOOKSHOP_LOGIN_RATE``   visits to the login page of each address, for example ``20/minute``
``BOOKSHOP_REPORT_RATE``  reports that each address gets, for example ``600/minute``
``REDIS_URL``           a Redis or Valkey that counts requests and carries broadcasts (``django-daf[redis]``).
                        Else each process counts, and PostgreSQL carries broadcasts, or they stay in the process
``BOOKSHOP_SUPPLIER_URL``  the supplier's price service (``demo/prices.py``)
``SECRET_KEY``          a random one per process otherwise, with which sessions end
``DEBUG``               ``1`` switches Django's debug mode on
"""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.management.utils import get_random_secret_key

from daf_views.middleware import thread_free

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("BOOKSHOP_VAR_DIR", BASE_DIR / "var"))

DEBUG = os.environ.get("DEBUG") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = [".localhost", "127.0.0.1", "[::1]"]  # the subdomains are branches

INSTALLED_APPS = [
    "daf_orm",
    "daf_views",
    "daf_views.idempotency",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "shop",
]

# Django's default middleware without its 15 thread hops per request. `manage.py check` names what still costs one.
MIDDLEWARE = thread_free(
    [
        # First: it answers what the view, the URLs and every middleware below raise.
        "daf_views.middleware.async_error_middleware",
        "daf_views.throttling.throttle_middleware",
        "shop.branches.branch_middleware",
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ]
)

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LOGIN_URL = "login"
STATIC_URL = "static/"

ROOT_URLCONF = "bookshop.urls"
ASGI_APPLICATION = "bookshop.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

# An order is a few hundred bytes; a larger body is answered with 413 before it is received.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024


def sqlite_file() -> dict[str, Any]:
    """The database when nothing is configured; its folder is made so that a fresh clone just runs."""
    VAR_DIR.mkdir(parents=True, exist_ok=True)
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": VAR_DIR / "bookshop.sqlite3"}


def database() -> dict[str, Any]:
    """``DATABASE_URL`` if given, the SQLite file otherwise."""
    url = os.environ.get("DATABASE_URL")
    config: dict[str, Any] = {**dj_database_url.parse(url)} if url else sqlite_file()
    if config["ENGINE"] == "django.db.backends.sqlite3":
        # Readers and the one writer do not wait for each other. Concurrent writers on SQLite also need write locks
        # taken in turn when a transaction begins: that is DAF's default.
        config["OPTIONS"] = {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"}
    return config


DATABASES = {"default": database()}
IS_POSTGRESQL = "postgresql" in DATABASES["default"]["ENGINE"]

DAF_ORM = {
    # Connections per alias, at most, however many requests are running. Requests beyond it wait their turn.
    "MAX_SIZE": int(os.environ.get("BOOKSHOP_MAX_SIZE", "10")),
    # Seconds to wait for a turn; then PoolTimeout, which daf_views answers with 503.
    "TIMEOUT": float(os.environ.get("BOOKSHOP_TIMEOUT", "30")),
    # Callers that may wait at the same time; beyond it TooManyRequests, at once. 0 is no limit.
    "MAX_WAITING": 0,
    # Seconds after which a connection is replaced, and seconds it may be idle before it is closed.
    "MAX_LIFETIME": 3600.0,
    "MAX_IDLE": 600.0,
    # Tells PostgreSQL before each call whose orders it may show: see shop/branches.py.
    "CONFIGURE": "shop.branches.database_settings" if IS_POSTGRESQL else None,
}


def carrier_of_news() -> str:
    """The broadcasts' backend: a server that the shop has already."""
    if os.environ.get("REDIS_URL"):
        return "redis"
    return "postgresql" if IS_POSTGRESQL else "memory"


DAF_VIEWS = {
    # Run when the server starts. If one raises, the server does not. The last one goes on until the server ends.
    "LIFESPAN": ["shop.opening.open_shop", "shop.branches.open_branches", "shop.supplier.open_supplier"],
    # Seconds that requests may take to end after SIGTERM. A little less than the server itself waits
    # (demo/server.py gives uvicorn 5), so that what is late is cancelled in order, and logged.
    "DRAIN_TIMEOUT": 4.0,
    # Requests answered at the same time, at most. None: no limit, as the pool is what they wait for. With a limit,
    # remember that every open order stream takes one place.
    "MAX_IN_FLIGHT": None,
    # With a limit: requests that may wait for a place, and for how many seconds; beyond that they get a 503.
    "MAX_WAITING": 100,
    "WAIT_TIMEOUT": 5.0,
    # Seconds after which a client that got a 503 is asked to come back.
    "RETRY_AFTER": 1,
    # Seconds of silence after which the order stream sends a comment, so that no proxy takes it for dead.
    "HEARTBEAT": 15.0,
    # The document at /api/openapi.json, and its page at /api/docs/.
    "OPENAPI": {"title": "The bookshop", "version": "1"},
    # Slow down guesses of passwords. Views have their own throttles: see ReportView.
    "THROTTLED_PATHS": {"/login": os.environ.get("BOOKSHOP_LOGIN_RATE", "20/minute")},
    # The demo is one process. With more, they count together in Redis (or "database", or "cache").
    "THROTTLE_BACKEND": "redis" if os.environ.get("REDIS_URL") else "memory",
    "THROTTLE_LOCATION": os.environ.get("REDIS_URL", ""),
    "THROTTLE_PER_PROCESS": True,
    # Sales are told to the pages that show the stock, in all processes: see shop/broadcast.py.
    "BROADCAST_BACKEND": carrier_of_news(),
    "BROADCAST_LOCATION": os.environ.get("REDIS_URL", ""),
    "BROADCAST_PER_PROCESS": True,
    # Behind a proxy: the networks it calls from. Otherwise no X-Forwarded-For is trusted.
    "TRUSTED_PROXIES": [],
}

# Tasks run in the server's own process, some at a time. Those that SIGTERM would cut off are named in its log; where
# they must not be lost, give them an "OVERFLOW", or another backend.
TASKS = {"default": {"BACKEND": "daf_views.tasks.InProcessBackend", "OPTIONS": {"CONCURRENCY": 5}}}

# Mail goes into files, to be looked at.
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = VAR_DIR / "mail"
DEFAULT_FROM_EMAIL = "orders@bookshop.example"

# The supplier's price service, and the seconds in which it has to answer. Then the client gets a 504.
SUPPLIER_URL = os.environ.get("BOOKSHOP_SUPPLIER_URL", "http://127.0.0.1:8100")
SUPPLIER_DEADLINE = 1.0

REPORT_RATE = os.environ.get("BOOKSHOP_REPORT_RATE", "600/minute")

# Seconds for the report: as long as it may have to wait for a connection, and ten for its queries. Then its statements
# are stopped, and the client gets a 504.
REPORT_DEADLINE = DAF_ORM["TIMEOUT"] + 10

# Django logs nothing to the console when DEBUG is off; an unexpected error must be seen. A 4xx is an answer
# that was meant, not an event.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django.request": {"level": "ERROR"}},
}
