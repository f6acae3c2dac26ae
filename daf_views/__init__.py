"""Async views, API views, throttling and background tasks on top of ``daf_orm``."""

from daf_orm import __version__ as __version__
from daf_views.api.view import AsyncAPIView
from daf_views.views.base import AsyncView

__all__ = ["AsyncAPIView", "AsyncView"]
