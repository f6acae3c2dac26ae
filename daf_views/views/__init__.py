"""Class-based views whose handlers are coroutines."""

from daf_views.views.base import AsyncView

__all__ = ["AsyncView"]
