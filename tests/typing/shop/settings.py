"""Settings of the models that type checkers are shown, as those of a project."""

from daf_views.middleware import thread_free

SECRET_KEY = "not used"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "daf_orm",
    "daf_views",
    "shop",
]
AUTH_USER_MODEL = "shop.User"
MIDDLEWARE = thread_free(["django.middleware.common.CommonMiddleware"])
