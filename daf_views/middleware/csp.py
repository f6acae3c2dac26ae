"""Content-Security-Policy, without a thread. Django 6.0 and later have it."""

from django.middleware.csp import ContentSecurityPolicyMiddleware as _ContentSecurityPolicyMiddleware

from daf_views.middleware.base import InlineMixin


class ContentSecurityPolicyMiddleware(InlineMixin, _ContentSecurityPolicyMiddleware):
    """Django's own: two headers and a lazy nonce."""
