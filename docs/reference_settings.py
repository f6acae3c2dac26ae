"""Settings under which Sphinx imports the packages for the reference."""

SECRET_KEY = "not used"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "daf_orm",
    "daf_views",
    "daf_views.idempotency",
    "daf_views.throttling",
]
USE_TZ = True
