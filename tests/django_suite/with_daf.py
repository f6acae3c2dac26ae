"""Settings for ``runtests.py`` of Django's own suite, with DAF in play where ``DAF_IN_PLAY`` is set."""

import os
import sys
from typing import Any
from urllib.parse import urlsplit


def _database() -> dict[str, Any]:
    if (url := os.environ.get("DAF_SUITE_URL")) is None:
        return {"ENGINE": "django.db.backends.sqlite3"}
    parts = urlsplit(url)
    place = {"HOST": parts.hostname, "PORT": parts.port, "USER": parts.username}
    return {"ENGINE": "django.db.backends.postgresql", "NAME": "django", **place}


DATABASES = {
    "default": _database(),
    "other": _database() | ({"NAME": "other"} if "DAF_SUITE_URL" in os.environ else {}),
}
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False

if os.environ.get("DAF_IN_PLAY"):
    # It sets INSTALLED_APPS itself, to this list and the applications under test, after these settings are loaded.
    sys.modules["__main__"].ALWAYS_INSTALLED_APPS.insert(0, "daf_orm")
