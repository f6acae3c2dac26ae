"""Authentication and permissions of API views."""

from daf_views.auth.authentication import (
    APIKeyAuthentication,
    Authentication,
    BearerAuthentication,
    SessionAuthentication,
)
from daf_views.auth.permissions import HasPerms, IsAuthenticated, IsAuthenticatedOrReadOnly, IsStaff

__all__ = [
    "APIKeyAuthentication",
    "Authentication",
    "BearerAuthentication",
    "HasPerms",
    "IsAuthenticated",
    "IsAuthenticatedOrReadOnly",
    "IsStaff",
    "SessionAuthentication",
]
