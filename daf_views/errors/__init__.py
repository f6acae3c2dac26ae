"""Errors as responses: the error views of a URLconf, RFC 9457 problems, the error boundary."""

from daf_views.errors.views import handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500"]
