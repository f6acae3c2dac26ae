"""Keys that requests are counted by: functions of a request, sync or async, that return a string.

Requests with the same string share a limit; None is for a request that is not limited. A client must not be able to
choose its string, or it has as many limits as it likes.
"""

from __future__ import annotations

import functools
import inspect
import logging
import zlib
from collections.abc import Awaitable, Callable
from functools import cache
from ipaddress import ip_network
from types import CodeType
from typing import TYPE_CHECKING, Any

from django.urls import Resolver404, ResolverMatch, resolve

from daf_views.auth.identity import known_user_of
from daf_views.http.client_address import client_address

if TYPE_CHECKING:
    from django.http import HttpRequest

logger = logging.getLogger("daf_views")

Key = Callable[["HttpRequest"], "str | Awaitable[str | None] | None"]


def network(*, ipv4: int = 32, ipv6: int = 64) -> Key:
    """Return a key that counts by network: the leading ``ipv4`` or ``ipv6`` bits of the client's address."""
    if not (1 <= ipv4 <= 32 and 1 <= ipv6 <= 128):  # noqa: PLR2004 - the bits of an address
        raise ValueError(f"A network has 1 to 32 bits of IPv4 and 1 to 128 of IPv6, not {ipv4} and {ipv6}.")

    def by_network(request: HttpRequest) -> str:
        address = client_address(request)
        if address is None:
            _warn_of_no_address()
            return "no address"
        return str(ip_network((address.packed, ipv4 if address.version == 4 else ipv6), strict=False))  # noqa: PLR2004 - IPv4

    return by_network


by_address = network()


def ip(request: HttpRequest) -> str:
    """Count by the client's address; an IPv6 client by its /64, of which it has all addresses."""
    return by_address(request)  # type: ignore[return-value] # it is synchronous


async def user(request: HttpRequest) -> str:
    """Count authenticated users by user, all others by address."""
    someone = await known_user_of(request)
    return f"user {_pk(someone)}" if someone is not None else ip(request)


async def anonymous(request: HttpRequest) -> str | None:
    """Count unauthenticated requests, by address; users are not limited."""
    return None if await known_user_of(request) is not None else ip(request)


async def view(request: HttpRequest) -> str:
    """Count by view, with any arguments: all clients share it, so put it beside another key."""
    match: ResolverMatch | None = request.resolver_match
    if match is None:  # in middleware
        try:
            match = resolve(request.path_info, getattr(request, "urlconf", None))
        except Resolver404:
            return "no view"
    return f"view {path_of(match.func)}"


def api_key(request: HttpRequest) -> str:
    """Count by what the view's ``authenticate()`` has put in ``request.auth``: an API key, or an object with a ``pk``.

    Requests without are counted by address. No header is looked at, because a client can write there what it likes.
    """
    auth = getattr(request, "auth", None)
    if auth is None:
        return ip(request)
    return f"api key {auth}" if isinstance(auth, str) else f"api key {_pk(auth)}"


def path_of(view: Any) -> str:
    """Return the name of a view, function or class, with its module; of a handler, with that of its method."""
    while isinstance(view, functools.partial):
        view = view.func
    owner = getattr(view, "__self__", None)  # of a bound method: the view
    named = getattr(view, "view_class", view if owner is None else owner)
    kind = named if hasattr(named, "__qualname__") else type(named)
    method = "" if owner is None or view.__name__ == "dispatch" else f".{view.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}{method}"


async def value_of(key: Key, request: HttpRequest) -> str | None:
    """Return the value of a key for a request. Raises TypeError unless it is a string or None."""
    value: Any = key(request)
    if inspect.isawaitable(value):
        value = await value
    if value is not None and not isinstance(value, str):
        raise TypeError(f"The key {name_of(key)} of a throttle returned {value!r}: return a str, or None for no limit.")
    return value


def name_of(key: Key) -> str:
    """Return the name of a key, which tells its values from those of others; of a lambda, also its code."""
    name = f"{getattr(key, '__module__', '')}.{getattr(key, '__qualname__', type(key).__qualname__)}"
    code = getattr(key, "__code__", None)
    if code is None or "<lambda>" not in name:
        return name
    said = (code.co_code, code.co_names, [each for each in code.co_consts if not isinstance(each, CodeType)])
    return f"{name} {zlib.crc32(repr(said).encode()):x}"


def _pk(thing: Any) -> Any:
    if getattr(thing, "pk", None) is None:
        raise TypeError(f"{type(thing).__qualname__} has no pk to be counted by: give the throttle a key of your own.")
    return thing.pk


@cache
def _warn_of_no_address() -> None:
    logger.warning(
        "Requests without a client's address are counted together. If the server listens on a Unix socket behind a "
        "proxy, the proxy must send X-Forwarded-For, and DAF_VIEWS['TRUSTED_PROXIES'] must have 'unix' in it."
    )
