"""Permissions: some methods are public, the others need Django's permissions."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from daf_views.auth import HasPerms


class HasPermsUnless(HasPerms):
    """``HasPermsUnless({"GET"}, "shop.change_book")``: GET is public, the rest needs the permission."""

    def __init__(self, open_methods: set[str], *perms: str) -> None:
        super().__init__(*perms)
        # The OpenAPI document reads this, too. OPTIONS needs no permission.
        self.open_methods = frozenset(open_methods) | {"OPTIONS"} | ({"HEAD"} if "GET" in open_methods else set())

    async def has_permission(self, request: HttpRequest, view: Any) -> bool:
        return request.method in self.open_methods or await super().has_permission(request, view)
