"""The database of a suite, as the environment names it: ``DAF_SUITE_URL``, a PostgreSQL server.

``DAF_SUITE_ENGINE`` names the backend; without a URL it is SQLite in memory.
"""

import os
from typing import Any
from urllib.parse import urlsplit

ENGINE = os.environ.get("DAF_SUITE_ENGINE", "django.db.backends.postgresql")
URL = os.environ.get("DAF_SUITE_URL")
NAME = urlsplit(URL or "").path.removeprefix("/")
"""Of the database that the URL names: it exists."""


def database(name: str, *, engine: str = ENGINE) -> dict[str, Any]:
    """Return what ``DATABASES`` has for one alias; ``name`` is that of the database on the server."""
    if URL is None:
        return {"ENGINE": "django.db.backends.sqlite3"}
    parts = urlsplit(URL)
    return {"ENGINE": engine, "NAME": name, "HOST": parts.hostname, "PORT": parts.port, "USER": parts.username}
