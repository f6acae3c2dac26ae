"""Permissions of an ``AsyncAPIView``: the classes of its ``permissions = [...]``, all of which must allow a request.

A denied request is answered 403, or 401 if it is unauthenticated and the view has ``authentication``.
``has_object_permission``, where a permission has it, is asked by ``await self.check_object_permissions(request, obj)``,
once the handler has the object. ``open_methods`` are the methods that a permission never refuses: OpenAPI documents ask
for no proof there. A permission for which that says too little has a ``describe(operation)``, see
:class:`daf_views.openapi.Description`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from daf_views.auth.identity import is_known, is_staff, user_of
from daf_views.http.methods import SAFE

if TYPE_CHECKING:
    from django.http import HttpRequest

    from daf_views._core.description import Description

_OPEN = SAFE - {"TRACE"}  # TRACE shows the headers of a request


class IsAuthenticated:
    """Allow authenticated users."""

    async def has_permission(self, request: HttpRequest, view: Any) -> bool:  # noqa: ARG002 - a permission's
        """Return True if the request is authenticated."""
        return is_known(await user_of(request))


class IsAuthenticatedOrReadOnly(IsAuthenticated):
    """Allow authenticated users everything, and all others to read."""

    open_methods = _OPEN

    async def has_permission(self, request: HttpRequest, view: Any) -> bool:
        """Return True if the request reads or is authenticated."""
        return request.method in _OPEN or await super().has_permission(request, view)


class IsStaff:
    """Members of staff."""

    async def has_permission(self, request: HttpRequest, view: Any) -> bool:  # noqa: ARG002 - a permission's
        """Return True if the user is active staff."""
        return is_staff(await user_of(request))


class HasPerms:
    """Allow users with all of these Django permissions: ``HasPerms("shop.add_order")``.

    ``per_object=True`` checks them for the object, too. Django's own backend grants none for a single object.
    """

    def __init__(self, *perms: str, per_object: bool = False) -> None:
        if not perms or not all("." in perm for perm in perms):
            raise TypeError(f"HasPerms{perms!r}: name permissions as 'app_label.codename'.")
        self.perms = perms
        self._per_object = per_object

    async def has_permission(self, request: HttpRequest, view: Any) -> bool:  # noqa: ARG002 - a permission's
        """Return True if the user has them; with ``per_object``, if there is a user: the object decides."""
        user = await user_of(request)
        return is_known(user) if self._per_object else await _has(user, self.perms)

    async def has_object_permission(self, request: HttpRequest, view: Any, obj: Any) -> bool:  # noqa: ARG002
        """Return True if the user has them for the object."""
        return not self._per_object or await _has(await user_of(request), self.perms, obj)


def describe_permission(permission: object, operation: Description) -> None:
    """Describe a permission that does not describe itself: it may refuse all methods but its ``open_methods``."""
    if operation.method not in getattr(permission, "open_methods", ()):
        operation.require_permission()


async def _has(user: Any, *asked: Any) -> bool:
    """Ask a Django user; one of another kind has no permissions."""
    return hasattr(user, "ahas_perms") and bool(await user.ahas_perms(*asked))
