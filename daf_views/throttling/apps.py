"""The Django app of the database backend, which is all that has a table."""

from django.apps import AppConfig


class ThrottlingConfig(AppConfig):
    """Install it as ``"daf_views.throttling"``."""

    name = "daf_views.throttling"
    label = "daf_throttling"
    verbose_name = "DAF throttles"
    default_auto_field = "django.db.models.BigAutoField"
