"""Services: what a view needs for one request, made before its handler and ended after the response."""

from daf_views.services.container import Services, override_services

__all__ = ["Services", "override_services"]
