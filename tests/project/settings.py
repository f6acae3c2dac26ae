"""The Django project of the suite, on the database that the environment chooses.

`DAF_TEST_DATABASE` is `sqlite-memory` (the default), `sqlite-file`, `postgresql`, or `native` (PostgreSQL by daf_orm's
own backend). It may also be `mariadb` (the server at `DATABASE_URL`, or one that the suite starts) or `url`, the
database at `DATABASE_URL`. If that is set, `url` is the default.
"""

import atexit
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

DATABASE_URL = os.environ.get("DATABASE_URL")
DAF_TEST_DATABASE = os.environ.get("DAF_TEST_DATABASE", "url" if DATABASE_URL else "sqlite-memory")

if DAF_TEST_DATABASE == "sqlite-memory":
    default = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    other = {**default}
elif DAF_TEST_DATABASE == "sqlite-file":
    directory = Path(tempfile.mkdtemp(prefix="daf-sqlite-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    default, other = (
        {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": directory / f"{alias}.sqlite3",
            # Durability costs time, and nothing here outlives the process.
            "OPTIONS": {"init_command": "PRAGMA synchronous=OFF"},
            # Without this name, Django's test database is one in shared memory.
            "TEST": {"NAME": directory / f"test_{alias}.sqlite3"},
        }
        for alias in ("default", "other")
    )
else:
    import dj_database_url

    if DAF_TEST_DATABASE in {"postgresql", "native"} and not DATABASE_URL:
        from tests.support.servers import default_postgres

        # Processes that a test starts use the same server.
        DATABASE_URL = os.environ["DATABASE_URL"] = default_postgres().url
    elif DAF_TEST_DATABASE == "mariadb" and not DATABASE_URL:
        from tests.support.servers import default_mariadb

        DATABASE_URL = os.environ["DATABASE_URL"] = default_mariadb().url
    default = dj_database_url.parse(DATABASE_URL)
    if DAF_TEST_DATABASE == "native":
        default["ENGINE"] = "daf_orm.backends.postgresql"
    other = {**default, "NAME": f"{default['NAME']}_other"}

# The library has no migrations, and refers to apps that have: all tables are made from the models, in one go.
DATABASES = {
    alias: {**database, "TEST": {**database.get("TEST", {}), "MIGRATE": False}}
    for alias, database in (("default", default), ("other", other))
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.flatpages",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.sites",
    "daf_orm",
    "daf_views",
    "daf_views.idempotency",
    "daf_views.throttling",
    "daf_views.tasks.database",
    "django_tasks_db",
    *(["django_ox"] if find_spec("django_ox") else []),  # from Python 3.12 on
    "tests.project.library",
]
SECRET_KEY = "not a secret"
ROOT_URLCONF = "tests.project.urls"
USE_TZ = True
SITE_ID = 1
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "database": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cached"},
}
TASKS = {
    "default": {"BACKEND": "daf_views.tasks.InProcessBackend", "QUEUES": []},
    "second": {"BACKEND": "daf_views.tasks.InProcessBackend", "QUEUES": []},
    "database": {"BACKEND": "daf_views.tasks.database.backend.DatabaseBackend", "QUEUES": []},
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ],
        },
    },
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a real one takes longer than a test
