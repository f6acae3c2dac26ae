"""Settings for ``runtests.py`` of the Django suite, with DAF in play where ``DAF_IN_PLAY`` is set.

``DAF_SUITE_URL`` and ``DAF_SUITE_ENGINE`` name the database; ``DAF_SUITE_BRIDGED`` has each test's body run on an event
loop. ``DAF_SUITE_PLANS`` keeps query plans: ``used``, or ``compared``, each use with what Django compiles.
"""

import os
import sys

import recorded
from suite_database import database

DATABASES = {"default": database("django"), "other": database("other")}
SECRET_KEY = "django_tests_secret_key"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False

if os.environ.get("DAF_IN_PLAY"):
    # It sets INSTALLED_APPS itself, to this list and the applications under test, after these settings are loaded.
    sys.modules["__main__"].ALWAYS_INSTALLED_APPS.insert(0, "daf_orm")
    if recorded.FILE:
        DAF_ORM = recorded.SETTINGS
        recorded.begin()

if kept := os.environ.get("DAF_SUITE_PLANS"):
    DAF_ORM = {"KEEP_PLANS": {"MAX_SIZE": 100_000, "CHECK_EVERY": 1 if kept == "compared" else 1_000_000_000}}
    sys.modules["__main__"].ALWAYS_INSTALLED_APPS.append("plans_in_play.PlansConfig")

if os.environ.get("DAF_SUITE_BRIDGED"):
    # The bodies of Django tests may read and write files.
    DAF_ORM = {"BLOCKING": "raise", "BLOCKING_IO": False}
    sys.modules["__main__"].ALWAYS_INSTALLED_APPS.append("bridged.BridgedConfig")
