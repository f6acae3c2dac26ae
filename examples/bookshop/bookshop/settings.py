"""Settings of the bookshop: a stock Django project with DAF switched on.

Environment variables, all optional:

``DATABASE_URL``        any database Django knows, for example ``postgresql://user:secret@localhost/bookshop``
``BOOKSHOP_VAR_DIR``    where the SQLite file lives when there is no ``DATABASE_URL``
``BOOKSHOP_MAX_SIZE``   connections DAF may open at the same time
``BOOKSHOP_TIMEOUT``    seconds a call waits for one of them
``SECRET_KEY``          a random one per run otherwise
``DEBUG``               ``1`` switches Django's debug mode on
"""

import os
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("BOOKSHOP_VAR_DIR", BASE_DIR / "var"))

DEBUG = os.environ.get("DEBUG") == "1"
SECRET_KEY = os.environ.get("SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "daf_orm",
    "shop",
]

# No sessions and no cookies, so there is no cross-site request to forge: the API needs no CSRF middleware.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]

ROOT_URLCONF = "bookshop.urls"
ASGI_APPLICATION = "bookshop.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

# An order is a few hundred bytes; a larger body is answered with 413 before it is read.
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
        # Readers and the one writer do not wait for each other. What else concurrent writers need on SQLite,
        # write locks taken in turn when a transaction begins, is DAF's default.
        config["OPTIONS"] = {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"}
    return config


DATABASES = {"default": database()}

DAF_ORM = {
    # Connections per alias, at most, however many requests are running. Requests beyond it wait their turn.
    "MAX_SIZE": int(os.environ.get("BOOKSHOP_MAX_SIZE", "10")),
    # Seconds to wait for a turn; then PoolTimeout, which shop.errors answers with 503.
    "TIMEOUT": float(os.environ.get("BOOKSHOP_TIMEOUT", "30")),
    # Callers that may wait at the same time; beyond it TooManyRequests, at once. 0 is no limit.
    "MAX_WAITING": 0,
    # Seconds after which a connection is replaced, and seconds it may be idle before it is closed.
    "MAX_LIFETIME": 3600.0,
    "MAX_IDLE": 600.0,
}

# Django logs nothing to the console when DEBUG is off; an unexpected error must be seen. A 4xx is an answer
# that was meant, not an event.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"django.request": {"level": "ERROR"}},
}
