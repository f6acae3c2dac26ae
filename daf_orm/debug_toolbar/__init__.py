"""A panel for django-debug-toolbar: ``"daf_orm.debug_toolbar.DAFPanel"`` in ``DEBUG_TOOLBAR_PANELS``."""

from daf_orm.debug_toolbar.panel import DAFPanel

__all__ = ["DAFPanel"]
