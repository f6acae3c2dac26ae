"""OpenAPI documents of API views, from the annotations of their handlers."""

from daf_views._core.description import Description
from daf_views.openapi.described import operation, responds
from daf_views.openapi.document import document
from daf_views.openapi.raises import raises

__all__ = ["Description", "document", "operation", "raises", "responds"]
