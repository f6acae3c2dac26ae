"""Services: objects that a view needs for one request, made before its handler and ended after the response."""

from typing import TYPE_CHECKING

from daf_views.services.container import override_services

if TYPE_CHECKING:
    from daf_views.services.declared import DeclaredServices as Services
else:
    from daf_views.services.container import Services

__all__ = ["Services", "override_services"]
