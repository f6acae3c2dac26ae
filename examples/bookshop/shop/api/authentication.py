"""Authentication: a program with a token, or a browser with the session of a logged-in user."""

from __future__ import annotations

from typing import Any

from daf_views.auth import BearerAuthentication, SessionAuthentication
from shop.models import ApiToken
from shop.tokens import digest_of


class TokenAuthentication(BearerAuthentication):
    async def get_user(self, proof: str) -> Any:
        """Look the digest up: a comparison of secrets that tells nothing by its time."""
        found = await ApiToken.objects.select_related("user").filter(digest=digest_of(proof)).afirst()
        return found.user if found else None


BY_TOKEN_OR_SESSION = (TokenAuthentication, SessionAuthentication)
