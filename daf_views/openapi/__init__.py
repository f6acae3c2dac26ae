"""OpenAPI documents of API views, from the annotations of their handlers."""

from daf_views.openapi.described import operation, responds
from daf_views.openapi.document import document
from daf_views.openapi.raises import raises

__all__ = ["document", "operation", "raises", "responds"]
