"""APPEND_SLASH, PREPEND_WWW, Content-Length and denied user agents, without a thread."""

from django.middleware.common import CommonMiddleware as _CommonMiddleware

from daf_views.middleware.base import InlineMixin


class CommonMiddleware(InlineMixin, _CommonMiddleware):
    """Django's own. It resolves URLs, as the handler does on the event loop anyway."""
