"""Who may: for some methods everybody, for the others those with Django's permissions."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from daf_views.auth import HasPerms


class HasPermsUnless(HasPerms):
    """``HasPermsUnless({"GET"}, "shop.change_book")``: everybody may GET, the rest is for who has the permission."""

    def __init__(self, open_methods: set[str], *perms: str) -> None:
        super().__init__(*perms)
        # The OpenAPI document reads this, too. Nobody needs a permission to ask what there is.
        self.open_methods = frozenset(open_methods) | {"OPTIONS"} | ({"HEAD"} if "GET" in open_methods else set())

    async def has_permission(self, request: HttpRequest, view: Any) -> bool:
        return request.method in self.open_methods or await super().has_permission(request, view)
