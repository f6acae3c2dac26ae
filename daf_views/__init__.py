"""Async views, API views, throttling and background tasks on top of ``daf_orm``."""

from daf_views.api import AsyncAPIView
from daf_views.views import AsyncView

__all__ = ["AsyncAPIView", "AsyncView"]
