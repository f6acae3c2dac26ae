"""The URLs of other pages, and the ``Link`` header that names them (RFC 8288)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.encoding import escape_uri_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest


def url_with(request: HttpRequest, **parameters: str | None) -> str:
    """Return the absolute URL of the request with other query parameters; None takes one away."""
    query = request.GET.copy()
    for name, value in parameters.items():
        query.pop(name, None)
        if value is not None:
            query[name] = value
    # Put together from its parts: urljoin() would take a path that begins with // for another host.
    url = f"{request.scheme}://{request.get_host()}{escape_uri_path(request.path)}"
    return f"{url}?{query.urlencode()}" if query else url


def link_header(links: Mapping[str, str]) -> str:
    """Return the field's value. The URLs are percent-encoded, so that none can hold a ``>``."""
    return ", ".join(f'<{url}>; rel="{rel}"' for rel, url in links.items())
