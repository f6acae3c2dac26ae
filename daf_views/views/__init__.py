"""Class-based views whose handlers are coroutines."""

from daf_views.views.base import AsyncView
from daf_views.views.pipeline import Stage

__all__ = ["AsyncView", "Stage"]
