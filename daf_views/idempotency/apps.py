"""The Django app of the database store, which is all that has a table."""

from django.apps import AppConfig


class IdempotencyConfig(AppConfig):
    """Install it as ``"daf_views.idempotency"``."""

    name = "daf_views.idempotency"
    label = "daf_idempotency"
    verbose_name = "DAF idempotency keys"
    default_auto_field = "django.db.models.BigAutoField"
