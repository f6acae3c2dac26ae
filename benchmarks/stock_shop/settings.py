"""The bookshop's settings without DAF. ``STOCK_SHOP_POOL``: connections in ``OPTIONS["pool"]``, if any."""

import os

import dj_database_url

SECRET_KEY = "a benchmark keeps no secret"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["benchmarks.stock_shop"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "benchmarks.stock_shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"

DATABASES = {"default": {**dj_database_url.parse(os.environ["DATABASE_URL"])}}
if size := os.environ.get("STOCK_SHOP_POOL"):
    DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 4, "max_size": int(size)}}

# Failed requests are counted by their status; a thousand tracebacks would only slow them down.
LOGGING = {"version": 1, "disable_existing_loggers": True}
