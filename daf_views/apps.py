"""The Django application: system checks of the view layer."""

from contextlib import suppress
from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class DafViewsConfig(AppConfig):
    """``"daf_views"`` in ``INSTALLED_APPS``."""

    name = "daf_views"
    verbose_name = "Django Async Framework: views"

    def ready(self) -> None:
        """Register the checks, and the Celery task that runs DAF's: a worker discards messages for unknown tasks.

        Let Django's deployment checks find the middleware that ``thread_free()`` has replaced.

        Import the client of the throttles' backend, so that the first request does not wait for it.
        """
        from daf_views import checks  # noqa: F401, PLC0415 - middleware, whose classes need the applications
        from daf_views.middleware.checks import PATCHES  # noqa: PLC0415 - as above
        from daf_views.throttling.backends import backend_class  # noqa: PLC0415 - as above

        PATCHES.activate()
        with suppress(ImproperlyConfigured):  # the checks report it
            backend_class()
        backends = [each.get("BACKEND", "") for each in getattr(settings, "TASKS", {}).values()]
        if any(backend.startswith("daf_views.tasks.celery.") for backend in backends):
            import_module("daf_views.tasks.celery")
