"""Security headers and the redirect to HTTPS, without a thread."""

from django.middleware.security import SecurityMiddleware as _SecurityMiddleware

from daf_views.middleware.base import InlineMixin


class SecurityMiddleware(InlineMixin, _SecurityMiddleware):
    """Django's own: settings, headers and a string comparison."""
