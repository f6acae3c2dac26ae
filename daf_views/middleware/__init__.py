"""Middleware for async requests: Django's own without a thread hop, and the error boundary.

``MIDDLEWARE = thread_free(["daf_views.middleware.async_error_middleware", "django.middleware…", …])``. Safe to import
in settings.py: nothing here needs settings or applications.
"""

from daf_views.errors.boundary import async_error_middleware
from daf_views.middleware.twins import thread_free

__all__ = ["async_error_middleware", "thread_free"]
