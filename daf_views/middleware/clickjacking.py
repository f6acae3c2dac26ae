"""X-Frame-Options, without a thread."""

from django.middleware.clickjacking import XFrameOptionsMiddleware as _XFrameOptionsMiddleware

from daf_views.middleware.base import InlineMixin


class XFrameOptionsMiddleware(InlineMixin, _XFrameOptionsMiddleware):
    """Django's own: one header."""
