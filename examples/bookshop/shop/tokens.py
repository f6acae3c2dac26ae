"""Tokens by which programs authenticate. Only the digest is stored: a reader of the table cannot log in."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Any

from shop.models import ApiToken


def issue(user: Any) -> str:
    """Make a token for a user and return it: it is not shown a second time."""
    token = secrets.token_urlsafe(32)
    ApiToken.objects.create(user=user, digest=digest_of(token))
    return token


def digest_of(token: str) -> str:
    """The stored digest of a token. A token is random and long, so that a fast digest without salt is enough."""
    return sha256(token.encode()).hexdigest()
