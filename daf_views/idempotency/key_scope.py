"""The scope of a key: one client's key is unknown to all others.

A user's key is the user's; where an ``authenticate()`` knows only a credential (``request.auth``), the credential's.
Unauthenticated clients are told apart by address, an IPv6 client by its /64. Many clients may share one address, so
their keys must be too long to be guessed.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from daf_views.auth.identity import known_user_of
from daf_views.http.client_address import client_address
from daf_views.idempotency.exceptions import MalformedKeyError
from daf_views.idempotency.header import NAME

if TYPE_CHECKING:
    from django.http import HttpRequest

Scope = Callable[["HttpRequest"], "str | Awaitable[str]"]
MIN_ANONYMOUS = 16
"""Minimum key length for unauthenticated clients, in characters: a UUID has 36."""
_IPV6_BITS = 64


async def client_of(request: HttpRequest, key: str) -> str:
    """Return a text that identifies the client. Raises MalformedKeyError for a key that others might guess."""
    if (user := await known_user_of(request)) is not None:
        return f"user {_named(user)}"
    if (auth := getattr(request, "auth", None)) is not None:
        return f"auth {auth}" if isinstance(auth, str) else f"auth {_named(auth)}"
    if len(key) < MIN_ANONYMOUS:
        raise MalformedKeyError(
            f"{NAME} must have at least {MIN_ANONYMOUS} characters in unauthenticated requests: use a UUID."
        )
    return f"address {_address_of(request)}"


async def value_of(scope: Scope, request: HttpRequest) -> str:
    """Return the result of the policy's own scope. Raises TypeError if it is not a string."""
    value: Any = scope(request)
    if inspect.isawaitable(value):
        value = await value
    if not isinstance(value, str):
        raise TypeError(f"The scope of an IdempotencyKey returned {value!r}: return a str that tells clients apart.")
    return f"scope {value}"


def _address_of(request: HttpRequest) -> str:
    address = client_address(request)
    if address is None:
        return "unknown"
    return str(ip_network((address.packed, 32 if address.version == 4 else _IPV6_BITS), strict=False))  # noqa: PLR2004 - IPv4


def _named(thing: Any) -> str:
    """Name it by kind, too: a customer and an employee may have the same number."""
    if (pk := getattr(thing, "pk", None)) is None:
        raise TypeError(
            f"{type(thing).__qualname__} has no pk to tell clients apart by: give IdempotencyKey a scope of your own."
        )
    meta = getattr(thing, "_meta", None)
    return f"{meta.concrete_model._meta.label if meta is not None else type(thing).__qualname__} {pk}"  # noqa: SLF001 - _meta is public
