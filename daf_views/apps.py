"""The Django application: system checks of the view layer."""

from django.apps import AppConfig


class DafViewsConfig(AppConfig):
    """``"daf_views"`` in ``INSTALLED_APPS``."""

    name = "daf_views"
    verbose_name = "Django Async Framework: views"

    def ready(self) -> None:
        """Register the checks."""
        from daf_views import checks  # noqa: F401, PLC0415 - middleware, whose classes need the applications
