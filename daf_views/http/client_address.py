"""The address of a client. Addresses that a client states are not trusted; those that the site's proxies state are.

A proxy appends the address that it was called from to ``X-Forwarded-For`` (or ``Forwarded``, RFC 7239). So the entries
are read from the right, as long as they are those of trusted proxies (``TRUSTED_PROXIES``); the first that is not is
the client's. The client may have forged every entry further left.
"""

from __future__ import annotations

from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from daf_views.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.http import HttpRequest

    Address = IPv4Address | IPv6Address
    Network = IPv4Network | IPv6Network

UNIX = "unix"
"""Stands in ``TRUSTED_PROXIES`` for callers through a Unix socket, which have no address."""
_MAPPED_BITS = 96
_HIDDEN = str.maketrans(",;", "\0\0")


def client_address(request: HttpRequest) -> Address | None:
    """Return the address that a request is from, if it is known for certain; None through a Unix socket."""
    settings = get_settings()
    address = parse_address(request.META.get("REMOTE_ADDR") or "")
    if not settings.TRUSTED_PROXIES or not _is_trusted(address, tuple(settings.TRUSTED_PROXIES)):
        return address
    for hop in _hops(request, settings.FORWARDED_HEADER.lower()):
        if (said := parse_address(hop)) is None:  # no address: the last known one is the hop that omitted it
            return address
        address = said
        if not _is_trusted(address, tuple(settings.TRUSTED_PROXIES)):
            return address
    return address


def is_trusted_proxy(address: Address) -> bool:
    """Return True if an address is that of a proxy in ``TRUSTED_PROXIES``."""
    return _is_trusted(address, tuple(get_settings().TRUSTED_PROXIES))


def parse_address(text: str) -> Address | None:
    """Return the address in ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``; else None."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=16)
def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return the networks in CIDR notation. Raises ValueError, naming the one that is none."""
    return tuple(_unmapped(ip_network(text)) for text in texts if text != UNIX)


def _unmapped(network: Network) -> Network:
    """Return the network of IPv4 that one of mapped addresses is: addresses are unmapped before they are compared."""
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


def _is_trusted(address: Address | None, proxies: tuple[str, ...]) -> bool:
    if address is None:
        return UNIX in proxies
    return any(address in network for network in parse_networks(proxies))


def _hops(request: HttpRequest, header: str) -> Iterator[str]:
    """Yield the entries of the header, from the right; an empty string for an unreadable one."""
    value = _header(request, header)
    yield from reversed(_forwarded_for(value) if header == "forwarded" else value.split(","))


def _forwarded_for(value: str) -> list[str]:
    """Return the ``for`` of each element of a ``Forwarded`` field (RFC 7239 §4).

    A quote that a client leaves open would change the meaning of the proxy's entry. So a value with an odd number of
    quotes, or with any that is escaped, says nothing.
    """
    parts = value.split('"')
    if len(parts) % 2 == 0 or "\\" in value:
        return [""]
    parts[1::2] = [part.translate(_HIDDEN) for part in parts[1::2]]  # inside of quotes
    return [_for(element) for element in '"'.join(parts).split(",")]


def _for(element: str) -> str:
    pairs = [pair.partition("=") for pair in element.split(";")]
    said = [value.strip().strip('"') for name, _, value in pairs if name.strip().lower() == "for"]
    return said[0] if len(said) == 1 else ""


def _header(request: HttpRequest, name: str) -> str:
    # Not request.META, where a header with underscores for hyphens, which proxies pass on, has the same name.
    if (scope := getattr(request, "scope", None)) is not None:
        wanted = name.encode()
        return ",".join(value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted)
    return str(request.META.get(_meta_name(name), ""))


@cache
def _meta_name(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")
