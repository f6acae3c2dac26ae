"""The ASGI application: Django's handler without a thread or a connection per request, with lifespan and drain."""

from daf_views._core.drain import current_drain
from daf_views.asgi.handler import get_asgi_application
from daf_views.asgi.lifespan import on_shutdown, on_startup

__all__ = ["current_drain", "get_asgi_application", "on_shutdown", "on_startup"]
